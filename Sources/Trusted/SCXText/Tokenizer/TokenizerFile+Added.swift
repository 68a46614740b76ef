import SCXInference

/// What the section `added_tokens` comes to.
struct AddedTokens {
    /// Finds tokens in the text as given.
    var plain = AddedTokenFinder()
    /// Finds tokens in normalized text.
    var normalized = AddedTokenFinder()
    /// The model's tokens and the added ones.
    var vocabulary: Vocabulary
    /// Texts of tokens whose normalized form differs, which is the form that decodes.
    var decodedForms: [Int32: [UInt8]] = [:]
    var special: Set<Int32> = []
}

extension TokenizerFile {
    func addedTokens(
        _ vocabulary: Vocabulary, _ normalizers: [Normalizer]
    ) throws(TokenizerError) -> AddedTokens {
        var result = AddedTokens(vocabulary: vocabulary)
        guard let list = json["added_tokens"], !list.isNull else { return result }
        guard let list = list.array else { throw malformed("'added_tokens' is no list") }
        var seen: [Int32: AddedToken] = [:]
        var nextID = Int32(vocabulary.count)
        for part in list {
            let token = try addedToken(part, &result.vocabulary, &nextID)
            if let token, seen[token.id] != token {
                guard seen.updateValue(token, forKey: token.id) == nil else {
                    throw malformed("the added token \(token.id) is there twice")
                }
                try add(token, normalizers, &result)
            }
        }
        return result
    }

    /// Reads one token and adds it to the vocabulary; nil for an empty one, which is left out.
    ///
    /// A token that the model has too keeps its number, the others are numbered onwards from the model's count. The
    /// file's own numbers must say the same: which of two should count could only be guessed.
    private func addedToken(
        _ json: JSON, _ vocabulary: inout Vocabulary, _ nextID: inout Int32
    ) throws(TokenizerError) -> AddedToken? {
        let section = TokenizerSection(json: json, file: name, kind: "added token")
        let content = Array(try section.string("content").utf8)
        if content.isEmpty { return nil }
        let shown = try section.string("content").quotedForError
        guard let stated = json["id"]?.int, (0...Vocabulary.maximumID).contains(stated) else {
            throw malformed("the added token \(shown) has no number from 0 to \(Vocabulary.maximumID)")
        }
        var id = nextID
        if let known = vocabulary.id(of: content.span) {
            id = known
        } else {
            guard Int(nextID) == stated else {
                throw malformed(
                    "the added token \(shown) has the number \(stated) instead of \(nextID), the next free one"
                )
            }
            guard vocabulary.insert(content.span, id: nextID) == .added else {
                throw malformed("the added token \(shown) has the number \(nextID) of another token")
            }
            nextID += 1
        }
        guard Int(id) == stated else {
            throw malformed("the added token \(shown) has the number \(stated), but \(id) in the vocabulary")
        }
        return AddedToken(
            id: id, content: content,
            singleWord: try section.flag("single_word", default: false),
            stripsLeft: try section.flag("lstrip", default: false),
            stripsRight: try section.flag("rstrip", default: false),
            normalized: try section.flag("normalized", default: true),
            special: try section.flag("special", default: false))
    }

    private func add(
        _ token: AddedToken, _ normalizers: [Normalizer], _ result: inout AddedTokens
    ) throws(TokenizerError) {
        if token.special { result.special.insert(token.id) }
        var form = NormalizedText(bytes: token.content, isFirst: true)
        if token.normalized {
            for normalizer in normalizers { normalizer.apply(to: &form) }
            if form.bytes != token.content { result.decodedForms[token.id] = form.bytes }
        }
        let isNew =
            token.normalized
            ? result.normalized.insert(token, as: form.bytes) : result.plain.insert(token, as: form.bytes)
        guard isNew else {
            throw malformed("the added token \(token.id) is empty or reads like another one once normalized")
        }
    }
}

extension TokenizerFile {
    /// What a text stands in, from the section `post_processor`.
    ///
    /// Where the file has none, `add_bos_token` and `add_eos_token` of the configuration say it.
    func template(_ vocabulary: Vocabulary) throws(TokenizerError) -> [TemplatePiece] {
        if let part = json["post_processor"], !part.isNull {
            let section = TokenizerSection(json: part, file: name, kind: "post_processor")
            if let template = try template(section, vocabulary) { return template }
        }
        var template = [TemplatePiece.text]
        if configuration["add_bos_token"]?.bool == true, let id = configuredToken("bos_token", vocabulary) {
            template.insert(.tokens([id]), at: 0)
        }
        if configuration["add_eos_token"]?.bool == true, let id = configuredToken("eos_token", vocabulary) {
            template.append(.tokens([id]))
        }
        return template
    }

    private func template(
        _ section: TokenizerSection, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> [TemplatePiece]? {
        switch try section.type() {
        case "ByteLevel": return nil  // concerns offsets, not tokens
        case "Sequence":
            var found: [TemplatePiece]?
            for part in try section.list("processors") {
                guard let template = try template(part, vocabulary) else { continue }
                guard found == nil else { throw section.unsupported("Sequence", "of two templates") }
                found = template
            }
            return found
        case "TemplateProcessing":
            var pieces: [TemplatePiece] = []
            for part in try section.list("single") { pieces.append(try piece(part, section, vocabulary)) }
            return pieces
        case let type: throw section.unsupported(type)
        }
    }

    private func piece(
        _ part: TokenizerSection, _ section: TokenizerSection, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> TemplatePiece {
        if let sequence = part.json["Sequence"] {
            guard sequence["id"]?.string == "A" else {
                throw section.malformed("names a second text for a single one")
            }
            return .text
        }
        guard let name = part.json["SpecialToken"]?["id"]?.string else {
            throw section.malformed("has an unknown part")
        }
        guard let list = section.json["special_tokens"]?[name]?["ids"]?.array else {
            throw section.malformed("does not define its token \(name.quotedForError)")
        }
        var ids: [Int32] = []
        for value in list {
            guard let id = value.int.flatMap({ Int32(exactly: $0) }), vocabulary.text(of: id) != nil else {
                throw section.malformed("gives its token \(name.quotedForError) an unknown number")
            }
            ids.append(id)
        }
        return .tokens(ids)
    }

    /// A token that the configuration names, as text or as an object with `content`.
    func configuredToken(_ key: String, _ vocabulary: Vocabulary) -> Int32? {
        guard let value = configuration[key], let text = value.string ?? value["content"]?.string else {
            return nil
        }
        let bytes = Array(text.utf8)
        return vocabulary.id(of: bytes.span)
    }
}

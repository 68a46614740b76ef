import SCXInference

extension TokenizerFile {
    /// Greatest number of tokens and texts in a template; published ones have three.
    static let maximumPieces = 64

    /// What a text stands in, from the section `post_processor`.
    ///
    /// Where the file has none, `add_bos_token` and `add_eos_token` of the configuration say it.
    func template(_ vocabulary: Vocabulary) throws(TokenizerError) -> [TemplatePiece] {
        if let part = json["post_processor"], !part.isNull {
            let section = TokenizerSection(json: part, file: name, kind: "post_processor")
            var whole: [TemplatePiece]?
            for part in try section.flattened("processors") {
                guard let template = try template(part, vocabulary) else { continue }
                // Each goes around what the one before made.
                let inner = whole ?? [.text]
                let pieces = template.flatMap { $0 == .text ? inner : [$0] }
                guard pieces.count <= Self.maximumPieces else {
                    throw section.malformed("has more than \(Self.maximumPieces) parts")
                }
                whole = pieces
            }
            if let whole { return whole }
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
        case "BertProcessing", "RobertaProcessing":
            return [
                .tokens([try token("cls", section, vocabulary)]), .text,
                .tokens([try token("sep", section, vocabulary)]),
            ]
        case "TemplateProcessing":
            var pieces: [TemplatePiece] = []
            for part in try section.list("single") { pieces.append(try piece(part, section, vocabulary)) }
            guard pieces.filter({ $0 == .text }).count <= 1 else {
                throw section.unsupported("TemplateProcessing", "that repeats the text")
            }
            return pieces
        case let type: throw section.unsupported(type)
        }
    }

    /// A token as `BertProcessing` writes it: its text and its number.
    func token(
        _ name: String, _ section: TokenizerSection, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> Int32 {
        guard let pair = section.json[name]?.array, pair.count == 2,
            let id = pair[1].int.flatMap({ Int32(exactly: $0) }), vocabulary.text(of: id) != nil
        else { throw section.malformed("has no '\(name)' that is a token") }
        return id
    }

    func piece(
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
        guard list.count <= Self.maximumPieces else {
            throw section.malformed("gives its token \(name.quotedForError) too many numbers")
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

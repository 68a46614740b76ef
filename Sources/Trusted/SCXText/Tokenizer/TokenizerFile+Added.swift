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
    /// Longest added token in bytes; published ones have up to 100.
    ///
    /// Texts are compared with them at every place.
    private static let maximumAddedLength = 1024
    /// Greatest length of all of them together, once normalized.
    private static let maximumAddedBytes = 1 << 21

    func addedTokens(
        _ vocabulary: Vocabulary, _ normalizers: [Normalizer]
    ) throws(TokenizerError) -> AddedTokens {
        var result = AddedTokens(vocabulary: vocabulary)
        guard let list = json["added_tokens"], !list.isNull else { return result }
        guard let list = list.array else { throw malformed("'added_tokens' is no list") }
        var seen: [Int32: AddedToken] = [:]
        var bytes = 0
        var nextID = Int32(vocabulary.count)
        for part in list {
            let token = try addedToken(part, &result.vocabulary, &nextID)
            if let token, seen[token.id] != token {
                guard seen.updateValue(token, forKey: token.id) == nil else {
                    throw malformed("the added token \(token.id) is there twice")
                }
                bytes += try add(token, normalizers, &result)
                guard bytes <= Self.maximumAddedBytes else {
                    throw malformed(
                        "the added tokens have more than \(Self.maximumAddedBytes) bytes together")
                }
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
        guard content.count <= Self.maximumAddedLength else {
            throw section.malformed("has more than \(Self.maximumAddedLength) bytes")
        }
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

    /// Adds a token to what is looked for.
    ///
    /// - Parameters:
    ///   - token: As the file has it.
    ///   - normalizers: What its text goes through, if it is to be looked for in normalized text.
    ///   - result: Gets the token.
    /// - Returns: The number of bytes of the text that it is found as.
    /// - Throws: `TokenizerError` for a token that cannot be told from another one.
    private func add(
        _ token: AddedToken, _ normalizers: [Normalizer], _ result: inout AddedTokens
    ) throws(TokenizerError) -> Int {
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
        return form.bytes.count
    }
}

import SCXInference

extension Tokenizer {
    /// The bytes that a token adds to a text in which another stands before it; they may be part of a character.
    ///
    /// - Returns: The spelling of a special token; nil for a number without a token.
    package func bytes(of id: Int32) -> [UInt8]? {
        if isSpecial(id) { return vocabulary.text(of: id).map { Array($0) } }
        return written(id).map { token in decoders.reduce(token) { $1.bytes(of: $0, atStart: false) } }
    }

    /// The text of a token that the decoder begins with.
    private func written(_ id: Int32) -> [UInt8]? {
        decodedForms[id] ?? vocabulary.text(of: id).map { Array($0) }
    }

    /// The bytes that each token adds to a decoded text.
    ///
    /// - Parameter shown: Special tokens that are written as they are spelled.
    /// - Returns: Bytes by the tokens' numbers, none for other special tokens; and those of the tokens that read
    ///   differently at the start of a text, where some tokenizers drop a space.
    func tokenBytes(showing shown: Set<Int32> = []) -> (inner: [[UInt8]], start: [Int32: [UInt8]]) {
        var inner: [[UInt8]] = []
        var start: [Int32: [UInt8]] = [:]
        inner.reserveCapacity(vocabularySize)
        for id in 0..<Int32(vocabularySize) {
            guard !isSpecial(id), let token = written(id), let bytes = bytes(of: id) else {
                inner.append(shown.contains(id) ? bytes(of: id) ?? [] : [])
                continue
            }
            inner.append(bytes)
            let first = decoders.reduce(token) { $1.bytes(of: $0, atStart: true) }
            if first != bytes { start[id] = first }
        }
        return (inner, start)
    }
}

extension TokenDecoder {
    /// What the step makes of a token that stands among others; unlike the decoder it leaves half characters as they are.
    fileprivate func bytes(of token: [UInt8], atStart: Bool) -> [UInt8] {
        switch self {
        case .spaced: atStart ? token : [0x20] + token
        case .bytes: TokenDecoding.alphabetBytes(token)
        case .byteFallback: TokenDecoding.fallbackByte(token).map { [$0] } ?? token
        case .metaspace(let character, let dropsFirst):
            token.span.replacing(
                Array(String(character).utf8), with: atStart && dropsFirst ? [] : [0x20])
        case .wordPiece(let prefix, let cleansUp):
            Self.piece(token, isFirst: atStart, prefix, cleansUp: cleansUp)
        case .suffix(let suffix): token.span.replacing(suffix, with: [0x20])
        case .ctc(let padding, let delimiter, let cleansUp):
            Self.sound(token, padding, delimiter, cleansUp: cleansUp)
        case .joined: token
        case .replace(let pattern, let content): token.span.replacing(pattern, with: content)
        case .replaceMatches(let pattern, let content): Self.replaceMatches(pattern, with: content, in: token)
        case .stripTokens(let character, let start, let end):
            TokenDecoding.strip(token, Array(String(character).utf8), start, end)
        case .stripText(let content, let start, _):
            atStart ? TokenDecoding.strip(token, content, start, 0) : token
        }
    }
}

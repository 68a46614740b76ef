import SCXInference

/// The merges of a tokenizer of SentencePiece, which a GGUF file does not list: of each token every pair of tokens that
/// make it up, those of the tokens with the highest scores first.
struct GGUFMerges {
    let tokens: [String]
    /// How early each token was learnt; the highest first.
    let scores: [Double]
    /// What errors call the file.
    let file: String

    /// The longest token in bytes; published ones have 100.
    private static let longest = 256
    /// The greatest length of all tokens together.
    private static let longestTogether = 1 << 24
    /// The most merges; published vocabularies have fewer than a million.
    private static let mostMerges = 1 << 22

    private struct Merge {
        let score: Float
        let left: (characters: Int, id: Int32)
        let right: (characters: Int, id: Int32)
    }

    /// The merges, as a `tokenizer.json` lists them.
    ///
    /// - Throws: `TokenizerError` for tokens without scores, and for tokens that are far too long.
    func list() throws(TokenizerError) -> [JSON] {
        guard scores.count == tokens.count, scores.allSatisfy(\.isFinite) else {
            throw .malformed(file: file, reason: "'tokenizer.ggml.scores' does not fit the tokens")
        }
        guard tokens.count <= Vocabulary.maximumID else {
            throw .malformed(file: file, reason: "has more than \(Vocabulary.maximumID) tokens")
        }
        var vocabulary = Vocabulary(capacity: tokens.count)
        for (id, token) in tokens.enumerated() {
            guard token.utf8.count <= Self.longest else {
                throw .malformed(
                    file: file,
                    reason: "has the token \(token.quotedForError) of more than \(Self.longest) bytes")
            }
            // Which of two tokens of the same text counts is for the tokenizer itself to say.
            _ = vocabulary.insert(token.utf8.span, id: Int32(id))
        }
        guard vocabulary.byteCount <= Self.longestTogether else {
            throw .malformed(
                file: file, reason: "has tokens of more than \(Self.longestTogether) bytes together")
        }
        var merges: [Merge] = []
        for (id, token) in tokens.enumerated() {
            var own = Self.pairs(of: Array(token.utf8), Float(scores[id]), vocabulary)
            own.sort { ($0.left.id, $0.right.id) < ($1.left.id, $1.right.id) }
            merges += own
            guard merges.count <= Self.mostMerges else {
                throw .malformed(file: file, reason: "has tokens of more than \(Self.mostMerges) merges")
            }
        }
        let order = merges.indices.sorted { a, b in
            let (x, y) = (merges[a], merges[b])
            if x.score != y.score { return x.score > y.score }
            if x.left.characters != y.left.characters { return x.left.characters > y.left.characters }
            if x.right.characters != y.right.characters { return x.right.characters > y.right.characters }
            return a < b
        }
        return order.map { index in
            .array([
                .string(tokens[Int(merges[index].left.id)]), .string(tokens[Int(merges[index].right.id)]),
            ])
        }
    }

    /// The ways to make up a token of two others.
    private static func pairs(of token: [UInt8], _ score: Float, _ vocabulary: Vocabulary) -> [Merge] {
        var merges: [Merge] = []
        let characters = token.reduce(0) { $0 + ($1 & 0xC0 != 0x80 ? 1 : 0) }
        var before = 0
        let bytes = token.span
        for index in token.indices where token[index] & 0xC0 != 0x80 {
            defer { before += 1 }
            guard index > 0, let left = vocabulary.id(of: bytes.extracting(0..<index)),
                let right = vocabulary.id(of: bytes.extracting(index..<token.count))
            else { continue }
            merges.append(Merge(score: score, left: (before, left), right: (characters - before, right)))
        }
        return merges
    }
}

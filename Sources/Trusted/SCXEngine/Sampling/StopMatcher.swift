/// What ends an answer, apart from its maximal length.
package struct StopConditions: Equatable, Sendable {
    /// Tokens that end the answer, such as the end of a turn.
    package var tokens: Set<Int32>
    /// Whether the answer continues after such a token.
    package var ignoresTokens: Bool
    /// Texts that end the answer and are not part of it.
    package var strings: [String]
    /// The answer has at least this number of tokens: before that, tokens that would end it are not drawn.
    package var leastTokens = 0
    /// Whether the text or token that ends the answer is part of its text.
    package var isShown = false

    package init(tokens: Set<Int32> = [], ignoresTokens: Bool = false, strings: [String] = []) {
        self.tokens = tokens
        self.ignoresTokens = ignoresTokens
        self.strings = strings
    }

    /// The tokens that must not be drawn yet, because they would end the answer too early.
    ///
    /// - Parameter answerTokens: Number of tokens of the answer so far.
    /// - Returns: The end tokens while the answer has fewer than ``leastTokens``; then none.
    func excluded(after answerTokens: Int) -> Set<Int32> {
        answerTokens < leastTokens && !ignoresTokens ? tokens : []
    }

    package func ends(with token: Int32) -> Bool { !ignoresTokens && tokens.contains(token) }
}

/// Finds stop strings in streamed text, however the text is cut into pieces.
///
/// An ending of the text that may be the beginning of a stop string is held back until that is decided. The text is cut
/// before the stop string that is complete first; if several end at the same byte, before the longest.
package struct StopMatcher: Sendable {
    private let strings: [[UInt8]]
    /// The failure function of Knuth, Morris and Pratt for each stop string: after n matched bytes and a byte that does
    /// not fit, so many bytes still match.
    private let fallbacks: [[Int]]
    /// For each stop string, how many of its first bytes the text ends with.
    private var matched: [Int]
    private var held: [UInt8] = []
    /// The stop string that was found; nil before.
    package private(set) var found: String?

    package init(_ strings: [String]) {
        self.strings = strings.filter { !$0.isEmpty }.map { Array($0.utf8) }
        fallbacks = self.strings.map { string in
            var fallback = [0, 0]
            for i in string.indices.dropFirst() {
                var length = fallback[i]
                while length > 0, string[length] != string[i] { length = fallback[length] }
                fallback.append(string[length] == string[i] ? length + 1 : 0)
            }
            return fallback
        }
        matched = [Int](repeating: 0, count: self.strings.count)
    }

    /// Takes the next piece of text, and returns the text that can be shown now; after a stop string was found,
    /// nothing.
    package mutating func append(_ piece: String) -> String {
        guard found == nil else { return "" }
        guard !strings.isEmpty else { return piece }
        for byte in piece.utf8 {
            held.append(byte)
            var longest = 0
            for i in strings.indices {
                while matched[i] > 0, strings[i][matched[i]] != byte { matched[i] = fallbacks[i][matched[i]] }
                if strings[i][matched[i]] == byte { matched[i] += 1 }
                if matched[i] == strings[i].count { longest = max(longest, matched[i]) }
            }
            guard longest == 0 else {
                let string = held.suffix(longest)
                found = String(decoding: string, as: UTF8.self)
                defer { held = [] }
                return String(decoding: held.dropLast(longest), as: UTF8.self)
            }
        }
        // Stop strings begin between characters, and so do pieces of text, so the held text begins between characters
        // too.
        let kept = matched.max() ?? 0
        defer { held = Array(held.suffix(kept)) }
        return String(decoding: held.dropLast(kept), as: UTF8.self)
    }

    /// Returns the text that is still held back, at the end of the answer.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }
}

/// A token that is found in text as it stands, before anything is cut into words.
struct AddedToken: Equatable, Sendable {
    var id: Int32
    var content: [UInt8]
    /// Whether it must not touch a letter, digit or the like.
    var singleWord = false
    /// Whether it takes the white space before it.
    var stripsLeft = false
    /// Whether it takes the white space after it.
    var stripsRight = false
    /// Whether it is looked for in normalized text, in its own normalized form.
    var normalized = true
    /// Whether decoding leaves it out.
    var special = false
}

/// Finds added tokens in text: the leftmost, and of those that begin there the longest.
struct AddedTokenFinder: Sendable {
    enum Piece: Equatable { case token(Int32), text(Range<Int>) }

    private var tokens: [AddedToken] = []
    private var trie = ByteTrie()

    /// Adds a token that is found as `pattern`; false if it is empty or another one is found the same way.
    mutating func insert(_ token: AddedToken, as pattern: [UInt8]) -> Bool {
        guard !pattern.isEmpty, trie.insert(pattern.span, value: Int32(tokens.count)) < 0 else {
            return false
        }
        tokens.append(token)
        return true
    }

    /// Cuts UTF-8 text into added tokens and what lies between.
    func pieces(of text: Span<UInt8>) -> [Piece] {
        var pieces: [Piece] = []
        var done = 0
        var at = 0
        var space = 0..<0
        while !tokens.isEmpty, at < text.count {
            guard trie.begins(with: text[at]), let (index, end) = trie.longest(in: text, at: at) else {
                at += 1
                continue
            }
            let start = at
            let token = tokens[Int(index)]
            // A discarded match still hides the shorter ones inside it.
            at = end
            if token.singleWord, text.isWord(before: start) || text.isWord(after: end) { continue }
            // White space that an earlier token took stays with it, but a token inside of it is still one.
            let left = token.stripsLeft ? text.spaceStart(before: start, limit: done) : start
            if done < left { pieces.append(.text(done..<left)) }
            pieces.append(.token(token.id))
            done = end
            if token.stripsRight {
                // Tokens that are white space themselves would look for the same end again and again.
                if !space.contains(end) { space = end..<text.spaceEnd(after: end) }
                done = max(end, space.upperBound)
            }
        }
        if done < text.count { pieces.append(.text(done..<text.count)) }
        return pieces
    }
}

extension Span<UInt8> {
    fileprivate func isWord(before offset: Int) -> Bool {
        scalar(before: offset).map { UnicodeTables.word.contains($0.0) } ?? false
    }

    fileprivate func isWord(after offset: Int) -> Bool {
        offset < count && UnicodeTables.word.contains(scalar(at: offset).0)
    }

    /// Where the white space before an offset begins, but not before a limit.
    fileprivate func spaceStart(before offset: Int, limit: Int) -> Int {
        var start = offset
        while start > limit, let (scalar, before) = scalar(before: start),
            UnicodeTables.whiteSpace.contains(scalar)
        {
            start = before
        }
        return Swift.max(start, limit)
    }

    fileprivate func spaceEnd(after offset: Int) -> Int {
        var end = offset
        while end < count {
            let (scalar, next) = scalar(at: end)
            guard UnicodeTables.whiteSpace.contains(scalar) else { break }
            end = next
        }
        return end
    }
}

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
    /// A trie: the node that follows `node << 8 | byte`; node 0 is the root.
    private var edges: [UInt64: Int32] = [:]
    /// The token that ends at a node, -1 for none.
    private var ending: [Int32] = [-1]
    private var isFirstByte = [Bool](repeating: false, count: 256)

    /// Adds a token that is found as `pattern`; false if another one is found the same way.
    mutating func insert(_ token: AddedToken, as pattern: [UInt8]) -> Bool {
        guard let first = pattern.first else { return false }
        isFirstByte[Int(first)] = true
        var node: Int32 = 0
        for byte in pattern {
            let edge = UInt64(node) << 8 | UInt64(byte)
            if let next = edges[edge] {
                node = next
            } else {
                node = Int32(ending.count)
                edges[edge] = node
                ending.append(-1)
            }
        }
        guard ending[Int(node)] < 0 else { return false }
        ending[Int(node)] = Int32(tokens.count)
        tokens.append(token)
        return true
    }

    /// Cuts UTF-8 text into added tokens and what lies between.
    func pieces(of text: Span<UInt8>) -> [Piece] {
        var pieces: [Piece] = []
        var done = 0
        var at = 0
        while !tokens.isEmpty, at < text.count {
            guard isFirstByte[Int(text[at])], let (token, end) = match(text, at: at) else {
                at += 1
                continue
            }
            let start = at
            // A discarded match still hides the shorter ones inside it.
            at = end
            if token.singleWord, text.isWord(before: start) || text.isWord(after: end) { continue }
            // White space that an earlier token took stays with it, but a token inside of it is still one.
            let left = token.stripsLeft ? max(text.spaceStart(before: start), done) : start
            if done < left { pieces.append(.text(done..<left)) }
            pieces.append(.token(token.id))
            done = token.stripsRight ? text.spaceEnd(after: end) : end
        }
        if done < text.count { pieces.append(.text(done..<text.count)) }
        return pieces
    }

    private func match(_ text: Span<UInt8>, at start: Int) -> (AddedToken, end: Int)? {
        var found: (AddedToken, end: Int)?
        var node: Int32 = 0
        var at = start
        while at < text.count, let next = edges[UInt64(node) << 8 | UInt64(text[at])] {
            node = next
            at += 1
            if ending[Int(node)] >= 0 { found = (tokens[Int(ending[Int(node)])], at) }
        }
        return found
    }
}

extension Span<UInt8> {
    /// The character that ends before the offset, and where it begins.
    private func scalar(before offset: Int) -> (Unicode.Scalar, start: Int)? {
        guard offset > 0 else { return nil }
        var start = offset - 1
        while start > 0, self[start] & 0xC0 == 0x80 { start -= 1 }
        return (scalar(at: start).0, start)
    }

    fileprivate func isWord(before offset: Int) -> Bool { scalar(before: offset)?.0.isWord ?? false }

    fileprivate func isWord(after offset: Int) -> Bool { offset < count && scalar(at: offset).0.isWord }

    fileprivate func spaceStart(before offset: Int) -> Int {
        var start = offset
        while let (scalar, before) = scalar(before: start), scalar.properties.isWhitespace { start = before }
        return start
    }

    fileprivate func spaceEnd(after offset: Int) -> Int {
        var end = offset
        while end < count {
            let (scalar, next) = scalar(at: end)
            guard scalar.properties.isWhitespace else { break }
            end = next
        }
        return end
    }
}

extension Unicode.Scalar {
    /// Whether the character is in `\w`: letters, marks, decimal digits, connectors and joiners.
    fileprivate var isWord: Bool {
        guard !isNewer(than: 16) else { return false }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return properties.isAlphabetic || properties.isJoinControl
        }
    }
}

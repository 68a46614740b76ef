/// Tokens in a tree of their bytes, laid out in the order in which a search visits it.
struct TokenTree: Sendable {
    struct Node: Sendable {
        /// Where to go on when the byte does not fit: after all nodes below.
        var skip: Int32
        /// The first of the tokens that end here; those of the next node follow them.
        var tokens: Int32
        var depth: UInt16
        var byte: UInt8
    }

    /// A token and where its bytes lie in a buffer.
    typealias Entry = (id: Int32, range: Range<Int>)

    private(set) var nodes: [Node] = []
    private(set) var tokens: [Int32] = []
    private(set) var deepest = 0

    /// Longer tokens are left out; published vocabularies end at some 200 bytes.
    static let longestToken = 1024

    /// Builds the tree of tokens that lie one after the other in a buffer.
    ///
    /// - Parameters:
    ///   - entries: The tokens; empty ones are left out.
    ///   - bytes: The buffer.
    init(_ entries: [Entry], in bytes: [UInt8]) {
        // The first eight bytes decide nearly all comparisons.
        var keyed: [(key: UInt64, entry: Int32)] = []
        keyed.reserveCapacity(entries.count)
        for (index, entry) in entries.enumerated() where (1...Self.longestToken).contains(entry.range.count) {
            var key: UInt64 = 0
            for place in 0..<8 {
                key = key << 8
                if place < entry.range.count { key |= UInt64(bytes[entry.range.lowerBound + place]) }
            }
            keyed.append((key, Int32(index)))
        }
        keyed.sort { first, second in
            guard first.key == second.key else { return first.key < second.key }
            let (one, other) = (entries[Int(first.entry)], entries[Int(second.entry)])
            let order = Self.compare(one.range, other.range, bytes)
            return order == 0 ? one.id < other.id : order < 0
        }
        nodes.reserveCapacity(entries.count * 3)
        tokens.reserveCapacity(keyed.count)
        var path: [Int] = []
        var last = 0..<0
        for (_, index) in keyed {
            let (id, range) = entries[Int(index)]
            var shared = 0
            while shared < min(last.count, range.count),
                bytes[last.lowerBound + shared] == bytes[range.lowerBound + shared]
            {
                shared += 1
            }
            while path.count > shared { nodes[path.removeLast()].skip = Int32(nodes.count) }
            for place in shared..<range.count {
                path.append(nodes.count)
                nodes.append(
                    Node(
                        skip: 0, tokens: Int32(tokens.count), depth: UInt16(place),
                        byte: bytes[range.lowerBound + place]))
            }
            deepest = max(deepest, range.count)
            tokens.append(id)
            last = range
        }
        while let node = path.popLast() { nodes[node].skip = Int32(nodes.count) }
    }

    private static func compare(_ one: Range<Int>, _ other: Range<Int>, _ bytes: [UInt8]) -> Int {
        for place in 0..<min(one.count, other.count) {
            let difference = Int(bytes[one.lowerBound + place]) - Int(bytes[other.lowerBound + place])
            if difference != 0 { return difference }
        }
        return one.count - other.count
    }
}

/// The bytes that a tokenizer's tokens add to a text, ready for finding those that a grammar allows.
///
/// Made once for a tokenizer, and shared by all answers. Special tokens add no bytes, except those that are marks.
package final class TokenTable: Sendable {
    package let vocabularySize: Int
    private let bytes: [UInt8]
    private let ends: [Int32]
    /// Bytes of tokens that read differently at the start of a text.
    private let startBytes: [Int32: [UInt8]]
    /// Tokens of plain characters as strings hold them, whole ones.
    let plain: TokenMask
    let plainTree: TokenTree
    /// Characters of the longest of them.
    let longestPlain: Int
    let otherTree: TokenTree
    /// Tokens that read differently at the start of a text, as they read there.
    let startTree: TokenTree

    /// The bytes of a tokenizer's tokens.
    ///
    /// - Parameters:
    ///   - tokenizer: The tokenizer.
    ///   - marks: Special tokens that answers have as text, such as those around calls.
    package init(_ tokenizer: Tokenizer, marks: [String] = []) {
        let shown = Set(marks.compactMap { tokenizer.id(for: $0) })
        let (inner, start) = tokenizer.tokenBytes(showing: shown)
        var (bytes, ends): ([UInt8], [Int32]) = ([], [])
        ends.reserveCapacity(inner.count)
        var (plainEntries, otherEntries): ([TokenTree.Entry], [TokenTree.Entry]) = ([], [])
        plainEntries.reserveCapacity(inner.count)
        var plain = TokenMask(capacity: inner.count)
        var longestPlain = 0
        for (id, token) in inner.enumerated() {
            let entry: TokenTree.Entry = (Int32(id), bytes.count..<bytes.count + token.count)
            if !shown.contains(Int32(id)), let length = Self.plainLength(token) {
                plainEntries.append(entry)
                plain.insert(entry.id)
                longestPlain = max(longestPlain, length)
            } else {
                otherEntries.append(entry)
            }
            bytes += token
            ends.append(Int32(bytes.count))
        }
        var (startEntries, startBuffer): ([TokenTree.Entry], [UInt8]) = ([], [])
        for (id, token) in start {
            startEntries.append((id, startBuffer.count..<startBuffer.count + token.count))
            startBuffer += token
        }
        vocabularySize = inner.count
        self.plain = plain
        self.longestPlain = longestPlain
        plainTree = TokenTree(plainEntries, in: bytes)
        otherTree = TokenTree(otherEntries, in: bytes)
        startTree = TokenTree(startEntries, in: startBuffer)
        self.bytes = bytes
        self.ends = ends
        startBytes = start
    }

    /// The number of characters of a token that strings may hold as it is; nil for other tokens.
    private static func plainLength(_ token: [UInt8]) -> Int? {
        guard (1...TokenTree.longestToken).contains(token.count),
            token.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }),
            (try? UTF8Span(validating: token.span)) != nil
        else { return nil }
        return token.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    }

    /// Tokens that read differently at the start of a text.
    var startTokens: some Sequence<Int32> { startBytes.keys }

    /// The bytes that a token adds to a text; none for special tokens and numbers without a token.
    package func bytes(of token: Int32, atStart: Bool) -> ArraySlice<UInt8> {
        guard token >= 0, Int(token) < ends.count else { return [] }
        if atStart, let bytes = startBytes[token] { return bytes[...] }
        return bytes[(token == 0 ? 0 : Int(ends[Int(token) - 1]))..<Int(ends[Int(token)])]
    }
}

/// A set of tokens, one bit each.
package struct TokenMask: Equatable, Sendable {
    /// Bit `t % 64` of word `t / 64` is token t.
    package private(set) var words: [UInt64]
    /// The set can hold tokens below this number, which is the size of the vocabulary.
    package let capacity: Int

    package init(capacity: Int) {
        self.capacity = capacity
        words = Array(repeating: 0, count: (capacity + 63) / 64)
    }

    /// A set of these tokens; those that it cannot hold are left out.
    package init(_ tokens: some Sequence<Int32>, capacity: Int) {
        self.init(capacity: capacity)
        for token in tokens { insert(token) }
    }

    package var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    package func contains(_ token: Int32) -> Bool {
        token >= 0 && Int(token) < capacity && words[Int(token) >> 6] >> UInt64(token & 63) & 1 != 0
    }

    /// Adds a token; one that the set cannot hold is left out.
    package mutating func insert(_ token: Int32) {
        guard token >= 0, Int(token) < capacity else { return }
        words[Int(token) >> 6] |= 1 << UInt64(token & 63)
    }

    mutating func remove(_ token: Int32) {
        guard token >= 0, Int(token) < capacity else { return }
        words[Int(token) >> 6] &= ~(1 << UInt64(token & 63))
    }

    mutating func formUnion(_ other: TokenMask) {
        precondition(capacity == other.capacity, "masks of two vocabularies")
        for index in words.indices { words[index] |= other.words[index] }
    }
}

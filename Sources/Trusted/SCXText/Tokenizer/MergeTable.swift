/// The merges of a byte-pair vocabulary: which two tokens join, how early, and into what.
///
/// An open hash table from a pair of tokens to `rank << 32 | result`, so that the smaller value is the merge to make
/// first. Equal pairs: the later one counts, as in the `tokenizers` package.
struct MergeTable: Sendable {
    /// The value of a pair that does not join.
    static let none = UInt64.max

    /// Key and value side by side; a key of all ones is a free slot (no pair, since tokens are not negative).
    private var slots: [(key: UInt64, value: UInt64)]
    private let seed = UInt64.random(in: .min ... .max)

    /// Makes an empty table for up to `capacity` merges.
    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = Array(repeating: (.max, Self.none), count: size)
    }

    /// Adds a merge, at most as many as the table was made for.
    mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, result: Int32) {
        let slot = slot(left, right)
        slots[slot] = (Self.key(left, right), UInt64(rank) << 32 | UInt64(UInt32(bitPattern: result)))
    }

    /// `rank << 32 | result` of the pair, or `none`.
    func value(_ left: Int32, _ right: Int32) -> UInt64 { slots[slot(left, right)].value }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private func slot(_ left: Int32, _ right: Int32) -> Int {
        let key = Self.key(left, right)
        var hash = (key ^ seed) &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot].key != key, slots[slot].key != .max { slot = (slot + 1) & (slots.count - 1) }
        return slot
    }
}

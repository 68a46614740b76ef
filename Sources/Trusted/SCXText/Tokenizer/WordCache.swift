/// The tokens of words that came before in the same text.
///
/// It lives as long as one call, so that nothing of a text stays. Its seed is drawn anew each time, so that a text cannot
/// be made to collide.
struct WordCache {
    private struct Entry {
        var hash: UInt64
        /// Where the word and its tokens lie in the buffers.
        var bytes: Range<Int32>
        var ids: Range<Int32>
    }

    private static let maximumCount = 1 << 15
    /// Longer words are seldom the same; single bytes are quick enough.
    private static let lengths = 2...64

    /// The entry, -1 for none; a power of two of them, at most half in use.
    private var slots: [Int32] = []
    private var entries: [Entry] = []
    private var bytes: [UInt8] = []
    private var ids: [Int32] = []
    private let seed = UInt64.random(in: .min ... .max)

    /// Appends the tokens of a word: those that are known of it, or what `encode` appends.
    mutating func tokens(
        of word: Span<UInt8>, into result: inout [Int32], _ encode: (inout [Int32]) -> Void
    ) {
        guard Self.lengths.contains(word.count) else { return encode(&result) }
        let hash = word.hash(seed: seed)
        if !slots.isEmpty {
            let slot = slot(of: word, hash)
            if slots[slot] >= 0 {
                let range = entries[Int(slots[slot])].ids
                for i in range { result.append(ids[Int(i)]) }
                return
            }
        }
        let start = result.count
        encode(&result)
        guard entries.count < Self.maximumCount else { return }
        if entries.count * 2 >= slots.count { grow() }
        slots[slot(of: word, hash)] = Int32(entries.count)
        let (byteStart, idStart) = (Int32(bytes.count), Int32(ids.count))
        for i in word.indices { bytes.append(word[i]) }
        ids += result[start...]
        entries.append(
            Entry(hash: hash, bytes: byteStart..<Int32(bytes.count), ids: idStart..<Int32(ids.count)))
    }

    private func slot(of word: Span<UInt8>, _ hash: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0, !isWord(word, hash, entries[Int(slots[slot])]) {
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }

    private func isWord(_ word: Span<UInt8>, _ hash: UInt64, _ entry: Entry) -> Bool {
        guard entry.hash == hash, entry.bytes.count == word.count else { return false }
        let start = Int(entry.bytes.lowerBound)
        for i in word.indices where bytes[start + i] != word[i] { return false }
        return true
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: max(256, slots.count * 2))
        for (index, entry) in entries.enumerated() {
            var slot = Int(truncatingIfNeeded: entry.hash) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(index)
        }
    }
}

extension Span<UInt8> {
    /// A quick hash of the bytes; with a seed that nobody knows, texts cannot be made to have the same.
    func hash(seed: UInt64) -> UInt64 {
        var hash = seed ^ UInt64(count)
        var at = 0
        while at < count {
            var word: UInt64 = 0
            for i in at..<Swift.min(at + 8, count) { word = word << 8 | UInt64(self[i]) }
            hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 29
            at += 8
        }
        hash = hash &* 0xBF58_476D_1CE4_E5B9
        return hash ^ hash >> 32
    }
}

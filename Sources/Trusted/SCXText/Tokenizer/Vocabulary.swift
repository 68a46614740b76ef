import SCXInference

/// The texts of the tokens and their numbers, both ways.
///
/// Texts are compared byte by byte. Swift's own strings would not do as keys: they take "é" and "e" with an accent
/// for the same text, and a vocabulary holds both. All texts lie in one buffer, found through an open hash table;
/// the table's seed is drawn anew each time, so that a file cannot be made to collide.
struct Vocabulary: Sendable {
    /// Greatest number accepted: far above the published vocabularies, and small enough for plain arrays.
    static let maximumID = 1 << 22

    private var bytes: [UInt8] = []
    private var ends: [Int32] = []
    private var ids: [Int32] = []
    /// The entry that holds a number, -1 for none.
    private var entryOfID: [Int32] = []
    /// `hash >> 32 << 32 | entry`, all ones for none; a power of two of them, at most half in use.
    private var slots: [UInt64]
    private static let free = UInt64.max
    private let seed = UInt64.random(in: .min ... .max)

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = Array(repeating: Self.free, count: size)
        ids.reserveCapacity(capacity)
        ends.reserveCapacity(capacity)
        entryOfID.reserveCapacity(capacity)
        bytes.reserveCapacity(capacity * 8)
    }

    /// Tokens known.
    var count: Int { ids.count }

    /// Bytes of all texts.
    var byteCount: Int { bytes.count }

    /// One more than the greatest number.
    var idLimit: Int { entryOfID.count }

    enum Insertion { case added, textTaken, idTaken }

    /// Adds a token; `id` lies in 0...maximumID.
    ///
    /// A text that is known is refused, or with `replacing` from now on stands for the new number.
    mutating func insert(_ text: Span<UInt8>, id: Int32, replacing: Bool = false) -> Insertion {
        precondition(id >= 0 && id <= Self.maximumID, "token number \(id) was not checked")
        let hash = hash(text)
        let slot = slot(of: text, hash)
        if slots[slot] != Self.free, !replacing { return .textTaken }
        while entryOfID.count <= Int(id) { entryOfID.append(-1) }
        if entryOfID[Int(id)] >= 0 { return .idTaken }
        let entry = Int32(ids.count)
        for i in text.indices { bytes.append(text[i]) }
        ends.append(Int32(bytes.count))
        ids.append(id)
        entryOfID[Int(id)] = entry
        slots[slot] = Self.pack(hash, entry)
        if ids.count * 2 > slots.count { grow() }
        return .added
    }

    func id(of text: Span<UInt8>) -> Int32? {
        let found = slots[slot(of: text, hash(text))]
        return found == Self.free ? nil : ids[Int(found & 0xFFFF_FFFF)]
    }

    /// The token's text, nil for a number without a token.
    func text(of id: Int32) -> ArraySlice<UInt8>? {
        guard id >= 0, Int(id) < entryOfID.count, entryOfID[Int(id)] >= 0 else { return nil }
        return bytes[range(of: Int(entryOfID[Int(id)]))]
    }

    private func range(of entry: Int) -> Range<Int> {
        (entry == 0 ? 0 : Int(ends[entry - 1]))..<Int(ends[entry])
    }

    private static func pack(_ hash: UInt64, _ entry: Int32) -> UInt64 {
        hash & 0xFFFF_FFFF_0000_0000 | UInt64(UInt32(bitPattern: entry))
    }

    /// The slot that holds the text, or the free one where it belongs.
    private func slot(of text: Span<UInt8>, _ hash: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != Self.free,
            (slots[slot] ^ hash) >> 32 != 0 || !isText(text, of: Int(slots[slot] & 0xFFFF_FFFF))
        {
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }

    private func isText(_ text: Span<UInt8>, of entry: Int) -> Bool {
        let range = range(of: entry)
        guard range.count == text.count else { return false }
        for i in text.indices where bytes[range.lowerBound + i] != text[i] { return false }
        return true
    }

    private func hash(_ text: Span<UInt8>) -> UInt64 { text.hash(seed: seed) }

    private mutating func grow() {
        slots = Array(repeating: Self.free, count: slots.count * 2)
        for entry in ids.indices {
            let (slot, packed) = place(of: entry)
            slots[slot] = packed
        }
    }

    private func place(of entry: Int) -> (slot: Int, packed: UInt64) {
        let text = bytes.span.extracting(range(of: entry))
        let hash = hash(text)
        return (slot(of: text, hash), Self.pack(hash, Int32(entry)))
    }
}

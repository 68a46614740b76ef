/// A tree of texts by their bytes, each with a number.
///
/// All edges lie in one open hash table, whose seed is drawn anew each time, so that a file cannot be made to collide.
struct ByteTrie: Sendable {
    static let root: Int32 = 0

    /// Each edge's key (node and byte) and the node below, a key of all ones where none is.
    ///
    /// Their number is a power of two, at most half of them are in use.
    private var slots: [(key: UInt64, node: Int32)]
    /// The number of the text that ends at each node, -1 for none.
    private var values: [Int32] = [-1]
    private var isFirstByte = [Bool](repeating: false, count: 256)
    private let seed = UInt64.random(in: .min ... .max)

    init() { slots = Array(repeating: (.max, -1), count: 64) }

    /// Adds a text, or gives a known one another number.
    ///
    /// - Parameters:
    ///   - text: Not empty.
    ///   - value: Its number, from 0 on.
    /// - Returns: The number that a known one had, -1 for a new one.
    @discardableResult
    mutating func insert(_ text: Span<UInt8>, value: Int32) -> Int32 {
        var node = Self.root
        for i in text.indices {
            if i == 0 { isFirstByte[Int(text[0])] = true }
            let key = UInt64(UInt32(bitPattern: node)) << 8 | UInt64(text[i])
            let slot = slot(of: key)
            if slots[slot].key == key {
                node = slots[slot].node
            } else {
                node = Int32(values.count)
                slots[slot] = (key, node)
                values.append(-1)
                if values.count * 2 > slots.count { grow() }
            }
        }
        let known = values[Int(node)]
        values[Int(node)] = value
        return known
    }

    /// Whether any text begins with the byte.
    func begins(with byte: UInt8) -> Bool { isFirstByte[Int(byte)] }

    /// The node below another, nil where no text goes on with the byte.
    func node(below node: Int32, _ byte: UInt8) -> Int32? {
        let key = UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
        let slot = slot(of: key)
        return slots[slot].key == key ? slots[slot].node : nil
    }

    /// The node at the end of a text, nil where none begins with it.
    func node(of text: Span<UInt8>) -> Int32? {
        var node = Self.root
        for i in text.indices {
            guard let next = self.node(below: node, text[i]) else { return nil }
            node = next
        }
        return node
    }

    /// The number of the text that ends at a node, -1 for none.
    func value(at node: Int32) -> Int32 { values[Int(node)] }

    /// The longest text that stands at an offset, below a node.
    func longest(in text: Span<UInt8>, at start: Int, below root: Int32 = root) -> (value: Int32, end: Int)? {
        var found: (value: Int32, end: Int)?
        var node = root
        var at = start
        while at < text.count, let next = self.node(below: node, text[at]) {
            node = next
            at += 1
            if values[Int(node)] >= 0 { found = (values[Int(node)], at) }
        }
        return found
    }

    private func slot(of key: UInt64) -> Int {
        var hash = (key ^ seed) &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot].key != key, slots[slot].key != .max { slot = (slot + 1) & (slots.count - 1) }
        return slot
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: (.max, -1), count: old.count * 2)
        for entry in old where entry.key != .max { slots[slot(of: entry.key)] = entry }
    }
}

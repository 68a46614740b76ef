/// The keys and values of one protected block, which stay on the trusted side: `[tokens, keys | values]`.
///
/// Not thread-safe: one session owns it.
package final class ProtectedCache {
    /// Channels of one token's keys, or of its values.
    package let width: Int
    /// How many tokens it has.
    package private(set) var count = 0
    private var storage: SecretBuffer<Float>

    /// Makes an empty cache.
    ///
    /// - Parameter width: Key-value heads times the size of a head.
    package init(width: Int) {
        precondition(width > 0, "ProtectedCache: no channels")
        self.width = width
        storage = SecretBuffer(repeating: 0, count: 0)
    }

    /// Calls `body` with `[count, keys | values]`, row-major.
    package func withRows<Result: ~Copyable, Failure: Error>(
        _ body: (Span<Float>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try storage.withFirst(count * 2 * width, body)
    }

    /// Bytes of all keys and values.
    package var byteCount: Int { count * 2 * width * MemoryLayout<Float>.stride }

    /// Copies the keys and values to a place of a buffer.
    ///
    /// - Precondition: The buffer has room for ``byteCount`` bytes there.
    package func store(in bytes: inout SecretBuffer<UInt8>, at offset: Int) {
        storage.withFirst(count * 2 * width) { bytes.store($0, at: offset) }
    }

    /// Fills an empty cache with the bytes that ``store(in:at:)`` copied.
    ///
    /// - Precondition: The buffer has the bytes of as many tokens there.
    package func load(_ tokens: Int, from bytes: borrowing SecretBuffer<UInt8>, at offset: Int) {
        precondition(count == 0, "ProtectedCache: not empty")
        storage = SecretBuffer(repeating: 0, count: tokens * 2 * width)
        var target = storage.mutableSpan
        bytes.load(&target, from: offset)
        count = tokens
    }

    /// Appends the keys and values of tokens: the last `2 · width` channels of each row.
    ///
    /// - Precondition: Rows have at least that many channels.
    package func append(_ rows: borrowing Plaintext) {
        precondition(rows.channels >= 2 * width, "ProtectedCache: rows without keys and values")
        let needed = (count + rows.rows) * 2 * width
        if needed > storage.count {
            var larger = SecretBuffer<Float>(repeating: 0, count: max(needed, storage.count * 3 / 2))
            var target = larger.mutableSpan
            for i in 0..<count * 2 * width { target[i] = storage.span[i] }
            storage = larger
        }
        var target = storage.mutableSpan
        let source = rows.span
        for row in 0..<rows.rows {
            let from = (row + 1) * rows.channels - 2 * width
            let to = (count + row) * 2 * width
            for c in 0..<2 * width { target[to + c] = source[from + c] }
        }
        count += rows.rows
    }

    /// Removes the tokens from `count` on.
    ///
    /// - Precondition: There are at least `count` tokens.
    package func truncate(to count: Int) {
        precondition((0...self.count).contains(count), "ProtectedCache: cannot truncate to a larger count")
        var target = storage.mutableSpan
        for i in count * 2 * width..<self.count * 2 * width { target[i] = 0 }
        self.count = count
    }
}

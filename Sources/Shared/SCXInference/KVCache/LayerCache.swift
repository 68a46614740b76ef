import CSCXKernels

/// The keys and values of one layer for one sequence, in the order in which attention reads them.
///
/// Rows are in pages of 64 tokens that stay where they are, so growing copies nothing. `pages.h` has the layout of a
/// page: a vector of keys has one channel of adjacent tokens, so computing scores needs no horizontal sums.
///
/// Keys are appended after their rotary embedding. A sliding-window model keeps all tokens; attention skips the pages
/// before the window.
///
/// Not thread-safe: one session owns a cache, and must neither append nor truncate while attention reads it.
@safe
public final class LayerCache: @unchecked Sendable {
    /// Tokens per page.
    static let pageTokens = Int(cscx_page_tokens)

    /// How many key-value heads there are.
    public let kvHeads: Int
    /// Channels of a head.
    public let headSize: Int
    /// How elements are stored.
    public let format: Format
    /// Whether the cache overwrites its contents with zeros before it frees memory, and attention does so with its
    /// working memory.
    ///
    /// It is for a side to which keys and values are secret.
    ///
    /// Tokens that ``truncate(to:)`` removed stay in the last page until other tokens overwrite them or the page is
    /// removed.
    public let wipes: Bool

    /// The number of tokens in the cache.
    public private(set) var count = 0

    private var pages: CachePages

    /// Bytes of all pages.
    public var byteCount: Int { pages.byteCount }

    /// Bytes of all pages once there is room for `tokens` tokens.
    public func byteCount(tokens: Int) -> Int { pages.byteCount(pages: Self.pages(tokens)) }

    private static func pages(_ tokens: Int) -> Int { (tokens + pageTokens - 1) / pageTokens }

    /// Makes an empty cache, without pages.
    ///
    /// - Parameters:
    ///   - kvHeads: Key-value heads.
    ///   - headSize: Channels of each.
    ///   - format: How elements are stored.
    ///   - wipes: Whether memory is overwritten before it is freed; see ``wipes``.
    /// - Precondition: Both sizes are positive.
    public init(kvHeads: Int, headSize: Int, format: Format = .f32, wipes: Bool = false) {
        precondition(kvHeads > 0 && headSize > 0, "LayerCache: empty head")
        self.kvHeads = kvHeads
        self.headSize = headSize
        self.format = format
        self.wipes = wipes
        pages = CachePages(pageBytes: kvHeads * cscx_page_head_bytes(format.c, headSize), wipes: wipes)
    }

    /// Makes room for `tokens` tokens in all, so that appending up to there cannot fail.
    ///
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; pages that were there already stay.
    public func reserve(_ tokens: Int) throws(KVCacheError) { try pages.reserve(Self.pages(tokens)) }

    /// Appends the keys and values of `tokens` tokens.
    ///
    /// The keys of token t, `[kvHeads, headSize]`, begin at `rows[keyOffset + t · stride]`, and its values at
    /// `rows[valueOffset + t · stride]`. They may be parts of a fused q, k, v row, for instance.
    ///
    /// - Parameters:
    ///   - rows: Memory with keys and values.
    ///   - keyOffset: Where the keys of the first token begin.
    ///   - valueOffset: Where its values begin.
    ///   - stride: Floats from one token to the next.
    ///   - tokens: Number of tokens.
    /// - Precondition: All rows are within `rows`.
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; then nothing was appended.
    public func append(
        _ rows: Span<Float>, keyOffset: Int, valueOffset: Int, stride: Int, tokens: Int
    ) throws(KVCacheError) {
        guard tokens > 0 else { return }
        let width = kvHeads * headSize
        precondition(
            keyOffset >= 0 && valueOffset >= 0 && stride >= 0
                && max(keyOffset, valueOffset) + (tokens - 1) * stride + width <= rows.count,
            "LayerCache: rows beyond the buffer")
        try reserve(count + tokens)
        unsafe rows.withUnsafeBufferPointer { rows in
            guard let start = rows.baseAddress else { return }
            var done = 0
            while done < tokens {
                let slot = count % Self.pageTokens
                let chunk = min(tokens - done, Self.pageTokens - slot)
                // The page exists since `reserve` was called, and the rows by the precondition.
                unsafe cscx_page_write(
                    pages.write(count / Self.pageTokens), format.c, kvHeads, headSize, slot, chunk,
                    start + keyOffset + done * stride, start + valueOffset + done * stride, stride)
                count += chunk
                done += chunk
            }
        }
    }

    /// Removes the tokens from `count` on, and the pages that only they used.
    ///
    /// - Precondition: `count` is not above the current count.
    public func truncate(to count: Int) {
        precondition(count >= 0 && count <= self.count, "LayerCache: cannot truncate to a larger count")
        self.count = count
        pages.removePages(from: Self.pages(count))
    }

    /// The keys and values of a token with which attention computes: rounded, and multiplied by their scales.
    ///
    /// - Precondition: The cache holds the token.
    /// - Returns: `[kvHeads, headSize]` of both.
    public func stored(_ token: Int) -> (keys: [Float], values: [Float]) {
        precondition((0..<count).contains(token), "LayerCache: no such token")
        var keys = [Float](repeating: 0, count: kvHeads * headSize)
        var values = keys
        unsafe keys.withUnsafeMutableBufferPointer { keys in
            unsafe values.withUnsafeMutableBufferPointer { values in
                unsafe cscx_page_read(
                    pages.read(token / Self.pageTokens), format.c, kvHeads, headSize, token % Self.pageTokens,
                    keys.baseAddress, values.baseAddress)
            }
        }
        return (keys, values)
    }

    /// Bytes of the pages that hold tokens: what ``store(into:at:)`` writes.
    public var storedBytes: Int { Self.pages(count) * pages.pageBytes }

    /// Writes the pages that hold tokens, as they are in memory.
    ///
    /// - Parameters:
    ///   - bytes: Receives ``storedBytes`` bytes.
    ///   - offset: Where they begin.
    /// - Precondition: There is room.
    public func store(into bytes: inout MutableSpan<UInt8>, at offset: Int) {
        precondition(offset >= 0 && storedBytes <= bytes.count - offset, "LayerCache: no room to store")
        unsafe bytes.withUnsafeMutableBytes { bytes in
            for page in 0..<Self.pages(count) {
                let start = offset + page * pages.pageBytes
                unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + pages.pageBytes])
                    .copyMemory(
                        from: UnsafeRawBufferPointer(start: pages.read(page), count: pages.pageBytes))
            }
        }
    }

    /// Takes back what a cache of the same shape and format has stored, in place of what is held.
    ///
    /// - Parameters:
    ///   - count: Tokens that it held.
    ///   - bytes: What it stored.
    ///   - offset: Where that begins.
    /// - Returns: Whether there were enough bytes; else nothing is held.
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; then nothing is held.
    public func load(_ count: Int, from bytes: Span<UInt8>, at offset: Int) throws(KVCacheError) -> Bool {
        truncate(to: 0)
        let needed = Self.pages(count)
        guard count >= 0, offset >= 0, needed <= (bytes.count - offset) / pages.pageBytes else {
            return false
        }
        try pages.reserve(needed)
        unsafe bytes.withUnsafeBytes { bytes in
            for page in 0..<needed {
                let start = offset + page * pages.pageBytes
                unsafe UnsafeMutableRawBufferPointer(start: pages.write(page), count: pages.pageBytes)
                    .copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + pages.pageBytes]))
            }
        }
        self.count = count
        return true
    }

    /// Passes pointers to the pages to a kernel.
    func withPages<R>(_ body: (UnsafePointer<UnsafeRawPointer?>?) -> R) -> R {
        unsafe pages.withPointers(body)
    }
}

/// Why a cache could not grow.
public enum KVCacheError: Error, Equatable, Sendable, CustomStringConvertible {
    case noMemory(bytes: Int)

    public var description: String {
        switch self {
        case .noMemory(let bytes): "no memory for a page of \(bytes) bytes of the key-value cache"
        }
    }
}

import CSCXKernels

/// The keys and values of one layer for one sequence, in the order in which attention reads them.
///
/// Rows live in pages of 64 tokens that never move, so growing copies nothing. Per page and key-value head, keys are
/// `[4][headSize][16 tokens]` and values `[headSize / 16, rounded up][64 tokens][16]`: a vector of keys is one channel
/// of adjacent tokens, so scores need no horizontal sums.
///
/// Keys enter after their rotary embedding. A sliding-window model keeps all tokens; attention passes over the pages
/// before the window.
///
/// Not thread-safe: one session owns a cache, and neither appends nor truncates while attention reads it.
@safe
public final class LayerCache: @unchecked Sendable {
    /// How elements are stored.
    public enum Format: String, CaseIterable, Sendable {
        case f32
        /// Rounded to nearest, a relative error of 2⁻⁹; half the memory and half the reading at long contexts.
        case bf16

        var byteCount: Int { self == .f32 ? 4 : 2 }
    }

    /// Tokens of a page.
    static let pageTokens = Int(cscx_page_tokens)

    public let kvHeads: Int
    public let headSize: Int
    public let format: Format

    /// Tokens held.
    public private(set) var count = 0

    // Each points at `pageBytes` bytes from cscx_page_create; freed by `truncate` and `deinit` alone.
    private var pages: [UnsafeRawPointer?] = unsafe []
    private let pageBytes: Int

    /// Bytes of the pages held.
    public var byteCount: Int { unsafe pages.count * pageBytes }

    /// Bytes of the pages that `tokens` tokens need.
    public func byteCount(tokens: Int) -> Int {
        (tokens + Self.pageTokens - 1) / Self.pageTokens * pageBytes
    }

    /// Makes an empty cache, without pages.
    ///
    /// - Precondition: Both sizes are positive.
    public init(kvHeads: Int, headSize: Int, format: Format = .f32) {
        precondition(kvHeads > 0 && headSize > 0, "LayerCache: empty head")
        self.kvHeads = kvHeads
        self.headSize = headSize
        self.format = format
        pageBytes = kvHeads * cscx_page_head_elements(headSize) * format.byteCount
    }

    deinit { freePages(from: 0) }

    /// Makes room for `tokens` tokens in all, so that appending up to there cannot fail.
    ///
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; pages already there stay.
    public func reserve(_ tokens: Int) throws(KVCacheError) {
        while unsafe pages.count * Self.pageTokens < tokens {
            guard let page = unsafe cscx_page_create(pageBytes) else { throw .noMemory(bytes: pageBytes) }
            unsafe pages.append(UnsafeRawPointer(page))
        }
    }

    /// Adds the keys and values of `tokens` tokens.
    ///
    /// Row t has its keys, `[kvHeads, headSize]`, at `rows[keyOffset + t · stride]`, its values at
    /// `rows[valueOffset + t · stride]`: parts of a fused q, k, v row, for instance.
    ///
    /// - Parameters:
    ///   - rows: What holds both.
    ///   - keyOffset: Where the keys of the first token begin.
    ///   - valueOffset: Where its values begin.
    ///   - stride: Floats from one token to the next.
    ///   - tokens: Number of tokens.
    /// - Precondition: All rows lie within `rows`.
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; then nothing was added.
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
                // The page exists since `reserve`, the rows by the precondition.
                unsafe cscx_page_write(
                    UnsafeMutableRawPointer(mutating: pages[count / Self.pageTokens]), format == .bf16,
                    kvHeads,
                    headSize, slot, chunk, start + keyOffset + done * stride,
                    start + valueOffset + done * stride, stride)
                count += chunk
                done += chunk
            }
        }
    }

    /// Forgets the tokens from `count` on, and frees the pages that only they used.
    ///
    /// - Precondition: `count` is not above the current count.
    public func truncate(to count: Int) {
        precondition(count >= 0 && count <= self.count, "LayerCache: cannot truncate to a larger count")
        self.count = count
        freePages(from: (count + Self.pageTokens - 1) / Self.pageTokens)
    }

    /// Lends the pages to a kernel.
    func withPages<R>(_ body: (UnsafePointer<UnsafeRawPointer?>?) -> R) -> R {
        unsafe pages.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
    }

    private func freePages(from first: Int) {
        while unsafe pages.count > first {
            unsafe cscx_page_free(UnsafeMutableRawPointer(mutating: pages.removeLast()))
        }
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

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Memory for secrets: never copied, and overwritten with zeros before it is freed.
///
/// `@safe` because the pointer cannot leave it: access is by spans that the compiler ties to its lifetime.
@safe
package struct SecretBuffer<Element: BitwiseCopyable & Sendable>: ~Copyable, @unchecked Sendable {
    private let storage: UnsafeMutableBufferPointer<Element>

    package init(repeating value: Element, count: Int) {
        unsafe storage = .allocate(capacity: count)
        unsafe storage.initialize(repeating: value)
    }

    package var count: Int { unsafe storage.count }

    package var span: Span<Element> {
        @_lifetime(borrow self) get {
            let span = unsafe Span(_unsafeElements: storage)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Lends the first elements.
    package borrowing func withFirst<Result: ~Copyable, Failure: Error>(
        _ count: Int, _ body: (Span<Element>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(span.extracting(..<count))
    }

    package var mutableSpan: MutableSpan<Element> {
        @_lifetime(&self) mutating get {
            let span = unsafe MutableSpan(_unsafeElements: storage)
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    deinit {
        if let start = unsafe storage.baseAddress {
            unsafe zeroize(start, byteCount: storage.count * MemoryLayout<Element>.stride)
        }
        unsafe storage.deallocate()
    }
}

/// Overwrites memory with zeros, also where the compiler knows that nobody reads it again.
func zeroize(_ start: UnsafeMutableRawPointer, byteCount: Int) {
    #if canImport(Darwin)
        unsafe _ = memset_s(start, byteCount, 0, byteCount)
    #else
        unsafe explicit_bzero(start, byteCount)
    #endif
}

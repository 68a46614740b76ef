import CSCXKernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Memory for secrets: never copied, left out of core dumps where the system can do that (Linux), and overwritten with
/// zeros before it is freed.
///
/// It is `@safe` because the pointer cannot leave it: access is by spans whose lifetime the compiler ties to this
/// value's.
@safe
package struct SecretBuffer<Element: BitwiseCopyable & Sendable>: ~Copyable, @unchecked Sendable {
    private let storage: UnsafeMutableBufferPointer<Element>

    /// Makes a buffer of `count` equal values.
    package init(repeating value: Element, count: Int) {
        unsafe storage = Self.allocate(count)
        unsafe storage.initialize(repeating: value)
    }

    private static func allocate(_ count: Int) -> UnsafeMutableBufferPointer<Element> {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        guard !overflow, let start = unsafe cscx_secret_create(bytes) else {
            fatalError("no memory is left for \(count) secret values")
        }
        return unsafe UnsafeMutableBufferPointer(
            start: start.bindMemory(to: Element.self, capacity: count), count: count)
    }

    /// Copies values from other memory.
    package init(copying values: Span<Element>) {
        unsafe storage = Self.allocate(values.count)
        unsafe values.withUnsafeBufferPointer { unsafe _ = storage.initialize(fromContentsOf: $0) }
    }

    package var count: Int { unsafe storage.count }

    package var span: Span<Element> {
        @_lifetime(borrow self) get {
            let span = unsafe Span(_unsafeElements: storage)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Calls `body` with the first elements.
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

    /// Overwrites some of the elements with zeros.
    ///
    /// - Precondition: There are such elements.
    package mutating func erase(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "SecretBuffer: no such elements")
        guard let start = unsafe storage.baseAddress else { return }
        unsafe zeroize(start + range.lowerBound, byteCount: range.count * MemoryLayout<Element>.stride)
    }

    deinit {
        unsafe cscx_secret_free(storage.baseAddress, storage.count * MemoryLayout<Element>.stride)
    }
}

/// Overwrites memory with zeros, even if the compiler knows that nobody reads it again.
func zeroize(_ start: UnsafeMutableRawPointer, byteCount: Int) {
    #if canImport(Darwin)
        unsafe _ = memset_s(start, byteCount, 0, byteCount)
    #else
        unsafe explicit_bzero(start, byteCount)
    #endif
}

extension SecretBuffer where Element == UInt8 {
    /// Copies the bytes of values to an offset of this buffer.
    ///
    /// - Precondition: There is room.
    package mutating func store<Value: BitwiseCopyable>(_ values: Span<Value>, at offset: Int) {
        unsafe values.withUnsafeBytes { unsafe write($0, at: offset) }
    }

    /// Copies bytes to an offset of this buffer.
    ///
    /// - Precondition: There is room.
    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        precondition(offset >= 0 && bytes.count <= count - offset, "SecretBuffer: no room")
        var span = mutableSpan
        unsafe span.withUnsafeMutableBytes { target in
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: bytes)
        }
    }

    /// Copies bytes from an offset of this buffer to all of the values.
    ///
    /// - Precondition: There are as many bytes.
    package borrowing func load<Value: BitwiseCopyable>(_ values: inout MutableSpan<Value>, from offset: Int)
    {
        unsafe values.withUnsafeMutableBytes { target in
            precondition(offset >= 0 && target.count <= count - offset, "SecretBuffer: not so many bytes")
            unsafe span.withUnsafeBytes { bytes in
                unsafe target.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + target.count]))
            }
        }
    }
}

/// Overwrites the elements of an array with zeros, unless another array shares its memory, and then empties it.
package func erase<Value: BitwiseCopyable>(_ values: inout [Value]) {
    unsafe values.withUnsafeMutableBytes { bytes in
        if let start = bytes.baseAddress { unsafe zeroize(start, byteCount: bytes.count) }
    }
    values = []
}

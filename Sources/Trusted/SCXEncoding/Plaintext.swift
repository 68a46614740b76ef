package import SCXLink

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Activations of a session in clear: never copied, never printed, and zeroed when done.
///
/// Being noncopyable, it cannot be interpolated into a text, put into an array, or captured by an escaping closure;
/// `Tests/Forbidden` holds the programs that try.
@safe
package struct Plaintext: ~Copyable, @unchecked Sendable {
    package let rows: Int
    package let channels: Int
    private let storage: UnsafeMutableBufferPointer<Float>

    /// Makes rows of zeros, to be filled through ``values``.
    package init(rows: Int, channels: Int) {
        self.rows = rows
        self.channels = channels
        unsafe storage = .allocate(capacity: rows * channels)
        unsafe storage.initialize(repeating: 0)
    }

    /// `[rows, channels]`, row-major.
    package var values: MutableSpan<Float> {
        @_lifetime(&self) mutating get {
            let span = unsafe MutableSpan(_unsafeElements: storage)
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    /// One row, `[channels]`.
    ///
    /// - Precondition: There is such a row.
    @_lifetime(&self)
    package mutating func row(_ index: Int) -> MutableSpan<Float> {
        precondition((0..<rows).contains(index), "Plaintext: no such row")
        let start = index * channels
        let span = unsafe MutableSpan(
            _unsafeElements: UnsafeMutableBufferPointer(rebasing: storage[start..<start + channels]))
        return unsafe _overrideLifetime(span, mutating: &self)
    }

    /// Gives the rows away in clear: the encoding of profile `plain`, which hides nothing.
    package consuming func sendInClear() -> EncodedTensor {
        unsafe EncodedTensor(encodedRows: rows, channels: channels, values: Array(storage))
    }

    deinit {
        if let start = unsafe storage.baseAddress {
            unsafe zeroize(start, byteCount: storage.count * MemoryLayout<Float>.stride)
        }
        unsafe storage.deallocate()
    }
}

/// Overwrites memory with zeros, also where the compiler knows that nobody reads it again.
private func zeroize(_ start: UnsafeMutableRawPointer, byteCount: Int) {
    #if canImport(Darwin)
        unsafe _ = memset_s(start, byteCount, 0, byteCount)
    #else
        unsafe explicit_bzero(start, byteCount)
    #endif
}

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A kernel could not get the memory it was asked for.
public enum KernelError: Error, Equatable, CustomStringConvertible {
    case outOfMemory(bytes: Int)
    case tooLarge(rows: Int, columns: Int)

    public var description: String {
        switch self {
        case .outOfMemory(let bytes): "no memory for \(bytes) bytes"
        case .tooLarge(let rows, let columns): "a matrix of \(rows) x \(columns) is too large"
        }
    }
}

/// Zeroed memory straight from the system, on huge pages where Linux has them.
///
/// A matrix-vector product reads each page once per token: with pages of 4 KiB it would spend its time on
/// address translation. Pages cost memory when they are first written, not before.
@safe
public struct HugePages: ~Copyable, @unchecked Sendable {
    /// The memory; at least 64-byte aligned, 2 MiB where it is that long.
    public let bytes: UnsafeMutableRawBufferPointer
    private let mapping: UnsafeMutableRawBufferPointer

    private static let pageSize = 2 << 20

    /// Maps `count` bytes.
    ///
    /// - Throws: ``KernelError/outOfMemory(bytes:)``.
    public init(count: Int) throws(KernelError) {
        precondition(count >= 0, "HugePages: negative count")
        guard count > 0 else {
            unsafe bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            unsafe mapping = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            return
        }
        // Enough to start at a whole huge page; what is not touched costs nothing.
        let (total, overflow) = count.addingReportingOverflow(count >= Self.pageSize ? Self.pageSize : 0)
        #if canImport(Darwin)
            let flags = MAP_PRIVATE | MAP_ANON
        #else
            let flags = MAP_PRIVATE | MAP_ANONYMOUS
        #endif
        guard !overflow, let start = unsafe mmap(nil, total, PROT_READ | PROT_WRITE, flags, -1, 0),
            unsafe start != MAP_FAILED
        else { throw .outOfMemory(bytes: count) }
        unsafe mapping = UnsafeMutableRawBufferPointer(start: start, count: total)
        guard count >= Self.pageSize else {
            unsafe bytes = mapping
            return
        }
        let aligned = unsafe start.alignedUp(toMultipleOf: Self.pageSize)
        unsafe bytes = UnsafeMutableRawBufferPointer(start: aligned, count: count)
        #if os(Linux)
            _ = unsafe madvise(aligned, count, MADV_HUGEPAGE)  // advice: the memory works without it
        #endif
    }

    deinit {
        if let start = unsafe mapping.baseAddress { _ = unsafe munmap(start, mapping.count) }
    }
}

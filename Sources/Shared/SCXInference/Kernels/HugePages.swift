#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Why a kernel cannot work.
public enum KernelError: Error, Equatable, CustomStringConvertible {
    case outOfMemory(bytes: Int)
    case tooLarge(rows: Int, columns: Int)
    /// A site has fewer outputs than there are shards.
    case emptyShard(index: Int, of: Int)

    public var description: String {
        switch self {
        case .outOfMemory(let bytes): "no memory for \(bytes) bytes"
        case .tooLarge(let rows, let columns): "a matrix of \(rows) x \(columns) is too large"
        case .emptyShard(let index, let count): "part \(index) of \(count) has none of its outputs"
        }
    }
}

/// Zeroed memory directly from the system, on huge pages where Linux has them.
///
/// A matrix-vector product reads each page once per token; with pages of 4 KiB it would spend its time on address
/// translation. A page takes memory only when it is first written.
@safe
public struct HugePages: ~Copyable, @unchecked Sendable {
    /// The memory, at least 64-byte aligned, and 2 MiB aligned if it is that long.
    public let bytes: UnsafeMutableRawBufferPointer

    private static let pageSize = 2 << 20

    /// Maps `count` bytes.
    ///
    /// - Throws: ``KernelError/outOfMemory(bytes:)``.
    public init(count: Int) throws(KernelError) {
        precondition(count >= 0, "HugePages: negative count")
        guard count > 0 else {
            unsafe bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            return
        }
        // Enough to be able to begin at the start of a huge page.
        let slack = count >= Self.pageSize ? Self.pageSize : 0
        let (total, overflow) = count.addingReportingOverflow(slack + Self.tailUnit)
        #if canImport(Darwin)
            let flags = MAP_PRIVATE | MAP_ANON
        #else
            let flags = MAP_PRIVATE | MAP_ANONYMOUS
        #endif
        guard !overflow, let mapped = unsafe mmap(nil, total, PROT_READ | PROT_WRITE, flags, -1, 0),
            unsafe mapped != MAP_FAILED
        else { throw .outOfMemory(bytes: count) }
        guard slack > 0 else {
            unsafe bytes = UnsafeMutableRawBufferPointer(start: mapped, count: count)
            unsafe Self.unmap(mapped + Self.used(count), total - Self.used(count))
            return
        }
        // What was mapped before and after it is given back; otherwise the system might use huge pages for it too.
        let start = unsafe mapped.alignedUp(toMultipleOf: Self.pageSize)
        let head = unsafe start - mapped
        unsafe Self.unmap(mapped, head)
        unsafe Self.unmap(start + Self.used(count), total - head - Self.used(count))
        unsafe bytes = UnsafeMutableRawBufferPointer(start: start, count: count)
        #if os(Linux)
            _ = unsafe madvise(start, count, MADV_HUGEPAGE)  // advice: the memory works without it
        #endif
    }

    deinit {
        if let start = unsafe bytes.baseAddress { unsafe Self.unmap(start, Self.used(bytes.count)) }
    }

    /// A multiple of any system's page size.
    private static let tailUnit = 64 << 10

    /// How many bytes stay mapped for `count` bytes.
    private static func used(_ count: Int) -> Int { (count + tailUnit - 1) / tailUnit * tailUnit }

    private static func unmap(_ start: UnsafeMutableRawPointer, _ count: Int) {
        if count > 0 { _ = unsafe munmap(start, count) }
    }
}

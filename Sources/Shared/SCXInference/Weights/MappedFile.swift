#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A regular file, mapped read-only into memory as long as this object lives.
///
/// Its size is that at opening. If somebody truncates the file later, reading the lost part ends the process with
/// SIGBUS; whoever may write to the model directory is trusted not to do that. Replacing a file by renaming another
/// one, as download tools do, is safe.
@safe
final class MappedFile: Sendable {
    let path: String
    let byteCount: Int
    // Mapped read-only from init to deinit.
    nonisolated(unsafe) private let base: UnsafeMutableRawPointer?

    init(_ path: String) throws(CheckpointError) {
        self.path = path
        // O_NONBLOCK: a named pipe would block here for ever, before it could be refused.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .system(path, "open it") }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .system(path, "read its size") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .file(path: path, action: "read it", reason: "not a regular file")
        }
        byteCount = Int(status.st_size)
        guard byteCount > 0 else {  // Nothing can be mapped.
            unsafe base = nil
            return
        }
        let mapping = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard unsafe mapping != MAP_FAILED else { throw .system(path, "map it into memory") }
        unsafe base = mapping
    }

    deinit {
        if let base = unsafe base { unsafe munmap(base, byteCount) }
    }

    func withUnsafeBytes<R, E: Error>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= byteCount, "MappedFile: range outside the file")
        guard let base = unsafe base else {
            return try unsafe body(UnsafeRawBufferPointer(start: nil, count: 0))
        }
        return try unsafe body(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
    }

    /// Gives the memory of the pages that are wholly in the range back to the system; they can be read again.
    func discard(_ range: Range<Int>) {
        advise(
            (range.lowerBound + Self.page - 1) / Self.page * Self.page,
            range.upperBound / Self.page * Self.page, MADV_DONTNEED)
    }

    /// Makes the system begin to read the range from the disk, without waiting for it.
    func prefetch(_ range: Range<Int>) {
        advise(range.lowerBound / Self.page * Self.page, range.upperBound, MADV_WILLNEED)
    }

    private static let page = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Gives the system advice about the pages from `start`, a multiple of their size; the system may ignore it.
    private func advise(_ start: Int, _ end: Int, _ advice: Int32) {
        precondition(start >= 0 && end <= byteCount, "MappedFile: range outside the file")
        guard start < end, let base = unsafe base else { return }
        unsafe madvise(base + start, end - start, advice)
    }

    /// Reads the whole file as JSON, if it has at most `limit` bytes, since the values take several times that
    /// memory.
    func json(limit: Int = 100_000_000) throws(CheckpointError) -> JSON {
        guard byteCount <= limit else {
            throw .file(path: path, action: "read it", reason: "larger than \(limit) bytes")
        }
        return try json(0..<byteCount)
    }

    func json(_ range: Range<Int>) throws(CheckpointError) -> JSON {
        try unsafe withUnsafeBytes(range) { bytes throws(CheckpointError) in
            do throws(JSONError) {
                return try JSON(parsing: unsafe bytes.assumingMemoryBound(to: UInt8.self).span)
            } catch {
                throw .notJSON(path: path, error: error)
            }
        }
    }
}

extension CheckpointError {
    /// Makes an error of the system call that has just failed and set `errno`.
    static func system(_ path: String, _ action: String, code: Int32 = errno) -> CheckpointError {
        .file(path: path, action: action, reason: unsafe String(cString: strerror(code)))
    }
}

/// The names of a directory's entries, sorted, without `.` and `..`.
func directoryEntries(_ path: String) throws(CheckpointError) -> [String] {
    guard let directory = unsafe opendir(path) else { throw .system(path, "list this directory") }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
            unsafe name.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
}

extension JSON {
    /// Reads a file of at most `limit` bytes.
    ///
    /// - Throws: ``CheckpointError`` that names the file.
    public init(file path: String, limit: Int) throws(CheckpointError) {
        self = try MappedFile(path).json(limit: limit)
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file that gets its name only when it is complete.
///
/// It is written under a temporary name in the same directory, then renamed. If it is dropped unfinished, nothing is
/// left of it.
struct OutputFile: ~Copyable {
    let path: String
    private let temporary: String
    private let descriptor: Int32

    init(_ path: String) throws(CheckpointError) {
        let temporary = "\(path).\(getpid()).partial"
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .system(path, "write it") }
        self.path = path
        self.temporary = temporary
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
        unsafe unlink(temporary)
    }

    func append(_ bytes: RawSpan) throws(CheckpointError) {
        let failure: Int32? = unsafe bytes.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                // Linux writes at most 2³¹ bytes at a time, and a signal may make a call write less than it was asked
                // to.
                let count = unsafe write(
                    descriptor, bytes.baseAddress.map { unsafe $0 + written }, bytes.count - written)
                if count < 0 {
                    if errno == EINTR { continue }
                    return errno
                }
                written += count
            }
            return nil
        }
        if let failure { throw .system(path, "write it", code: failure) }
    }

    /// Gives the file its name; a file that had the name is replaced.
    ///
    /// The data is not forced to the disk: a machine that loses power may lose the file.
    consuming func finish() throws(CheckpointError) {
        guard unsafe rename(temporary, path) == 0 else { throw .system(path, "write it") }
    }

    static func save(_ text: String, to path: String) throws(CheckpointError) {
        let file = try OutputFile(path)
        let bytes = Array(text.utf8)
        try unsafe file.append(bytes.span.bytes)
        try file.finish()
    }
}

/// Makes a directory, and those above it, unless it is there.
func makeDirectory(_ path: String) throws(CheckpointError) {
    var end = path.startIndex
    while end < path.endIndex {
        end = path[path.index(after: end)...].firstIndex(of: "/") ?? path.endIndex
        let part = String(path[..<end])
        guard unsafe mkdir(part, 0o755) == 0 || errno == EEXIST || errno == EISDIR else {
            throw .system(part, "make this directory")
        }
    }
}

func removeFile(_ path: String) throws(CheckpointError) {
    guard unsafe unlink(path) == 0 || errno == ENOENT else { throw .system(path, "remove it") }
}

func fileExists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

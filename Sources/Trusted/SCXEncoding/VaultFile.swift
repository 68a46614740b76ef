#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Why a vault cannot be used, or did not take a session.
///
/// Carries paths and sizes, never contents.
package struct VaultError: Error, Equatable, Sendable, CustomStringConvertible {
    package let path: String
    package let problem: String

    init(_ path: String, _ problem: String) { (self.path, self.problem) = (path, problem) }

    /// With what the system says of the last call.
    init(_ path: String, cannot action: String) {
        let reason = unsafe String(cString: strerror(errno))
        self.init(path, "cannot \(action): \(reason)")
    }

    package var description: String { "\(path): \(problem)" }
}

/// An open file that nobody but its owner can read; closed when done.
struct VaultFile: ~Copyable {
    let path: String
    /// In bytes, when it was opened.
    let size: Int
    private let descriptor: Int32

    /// Makes a file that was not there.
    static func creating(_ path: String) throws(VaultError) -> VaultFile {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw VaultError(path, cannot: "make this file") }
        return VaultFile(path: path, size: 0, descriptor: descriptor)
    }

    /// Opens a file.
    ///
    /// - Returns: Nil when there is none.
    /// - Throws: ``VaultError`` when it cannot be read, or others than its owner can read it.
    static func reading(_ path: String) throws(VaultError) -> VaultFile? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0, errno == ENOENT { return nil }
        guard descriptor >= 0 else { throw VaultError(path, cannot: "read it") }
        var status = stat()
        let isKnown = unsafe fstat(descriptor, &status) == 0
        let file = VaultFile(path: path, size: isKnown ? Int(status.st_size) : 0, descriptor: descriptor)
        guard isKnown, status.st_mode & S_IFMT == S_IFREG else {
            throw VaultError(path, "is no ordinary file")
        }
        guard status.st_uid == geteuid() else { throw VaultError(path, "belongs to another user") }
        guard status.st_mode & 0o077 == 0 else {
            throw VaultError(path, "can be read by others than its owner; chmod 600 changes that")
        }
        return file
    }

    private init(path: String, size: Int, descriptor: Int32) {
        (self.path, self.size, self.descriptor) = (path, size, descriptor)
    }

    deinit { close(descriptor) }

    /// Appends bytes.
    borrowing func append(_ bytes: UnsafeRawBufferPointer) throws(VaultError) {
        var rest = unsafe bytes
        while unsafe !rest.isEmpty {
            let count = unsafe write(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw VaultError(path, cannot: "write it") }
            unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Reads the next bytes.
    ///
    /// - Returns: Whether there were enough.
    borrowing func fill(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
        var rest = unsafe bytes
        while unsafe !rest.isEmpty {
            let count = unsafe read(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            unsafe rest = UnsafeMutableRawBufferPointer(rebasing: rest[count...])
        }
        return true
    }

    /// Returns when what was written is on the disk.
    borrowing func synchronize() throws(VaultError) {
        guard fsync(descriptor) == 0 else { throw VaultError(path, cannot: "write it") }
    }

    /// Gives a file another name, replacing what has it.
    static func move(_ path: String, to name: String) throws(VaultError) {
        guard unsafe rename(path, name) == 0 else { throw VaultError(name, cannot: "name it") }
    }

    /// Gives a file another name, unless something has it.
    static func moveKeeping(_ path: String, to name: String) throws(VaultError) {
        guard unsafe link(path, name) == 0 || errno == EEXIST else {
            throw VaultError(name, cannot: "name it")
        }
        remove(path)
    }

    static func remove(_ path: String) { unsafe _ = unlink(path) }
}

/// A directory that nobody but its owner can enter, held by one process at a time.
struct VaultDirectory: ~Copyable {
    let path: String
    private let descriptor: Int32

    /// Opens a directory, making it if need be.
    static func opening(_ path: String) throws(VaultError) -> VaultDirectory {
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw VaultError(path, cannot: "make this directory")
        }
        let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw VaultError(path, cannot: "open this directory") }
        let directory = VaultDirectory(path: path, descriptor: descriptor)
        try directory.check()
        return directory
    }

    private init(path: String, descriptor: Int32) { (self.path, self.descriptor) = (path, descriptor) }

    private borrowing func check() throws(VaultError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_uid == geteuid(),
            status.st_mode & 0o077 == 0
        else {
            throw VaultError(path, "is not its user's alone; chmod 700 changes that")
        }
        // The system lets go of it when the process ends, however it ends.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw VaultError(path, "is used by another process")
        }
    }

    deinit { close(descriptor) }

    /// Returns when the names of files are on the disk.
    borrowing func synchronize() throws(VaultError) {
        guard fsync(descriptor) == 0 else { throw VaultError(path, cannot: "write this directory") }
    }

    /// Removes the files whose names end in one of these.
    borrowing func removeFiles(endingIn endings: [String]) {
        guard let stream = unsafe opendir(path) else { return }
        defer { unsafe _ = closedir(stream) }
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if endings.contains(where: name.hasSuffix) { VaultFile.remove("\(path)/\(name)") }
        }
    }
}

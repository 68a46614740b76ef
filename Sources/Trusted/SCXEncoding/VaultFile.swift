import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Why a vault or a bank of pads cannot be used, or why something could not be stored in it.
///
/// It contains paths and sizes, and never contents.
package struct VaultError: Error, Equatable, Sendable, CustomStringConvertible {
    package let path: String
    package let problem: String

    init(_ path: String, _ problem: String) { (self.path, self.problem) = (path, problem) }

    /// Makes an error with the system's text for the last call.
    init(_ path: String, cannot action: String) {
        self.init(path, "cannot \(action): \(Self.reason(errno))")
    }

    /// The system's text for an error.
    static func reason(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

    private static let busy = "is used by another process"

    static func busy(_ path: String) -> VaultError { VaultError(path, busy) }

    /// Whether the reason is that another process uses it, so that this process can go on without it.
    package var isBusy: Bool { problem == Self.busy }

    package var description: String { "\(path): \(problem)" }
}

/// An open file that only its owner can read; it is closed when this value is destroyed.
struct VaultFile: ~Copyable {
    let path: String
    /// The size in bytes when the file was opened.
    let size: Int
    private let descriptor: Int32
    private let isLocked: Bool

    /// Makes a file that must not exist yet.
    static func creating(_ path: String) throws(VaultError) -> VaultFile {
        try creating(path, knownAs: path, isLocked: false)
    }

    /// Makes a file that must not exist yet, and locks it for this process.
    ///
    /// - Parameters:
    ///   - path: The path under which the file is made.
    ///   - name: The path that it gets when it is complete, which errors name.
    /// - Returns: The file, locked until it is closed.
    /// - Throws: ``VaultError`` when it cannot be made.
    static func creatingLocked(_ path: String, knownAs name: String) throws(VaultError) -> VaultFile {
        try creating(path, knownAs: name, isLocked: true)
    }

    private static func creating(
        _ path: String, knownAs name: String, isLocked: Bool
    ) throws(VaultError) -> VaultFile {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw VaultError(path, cannot: "make this file") }
        let file = VaultFile(path: name, size: 0, descriptor: descriptor, isLocked: isLocked)
        if isLocked { try file.lock() }
        return file
    }

    /// Opens a file.
    ///
    /// - Returns: Nil when there is none.
    /// - Throws: ``VaultError`` when it cannot be read, or when others than its owner can read it.
    static func reading(_ path: String) throws(VaultError) -> VaultFile? { try opening(path, O_RDONLY) }

    private static func opening(
        _ path: String, _ access: Int32, isLocked: Bool = false
    ) throws(VaultError) -> VaultFile? {
        let descriptor = unsafe open(path, access | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0, errno == ENOENT { return nil }
        guard descriptor >= 0 else {
            throw VaultError(path, cannot: access == O_RDONLY ? "read it" : "open it to write")
        }
        var status = stat()
        let isKnown = unsafe fstat(descriptor, &status) == 0
        let file = VaultFile(
            path: path, size: isKnown ? Int(status.st_size) : 0, descriptor: descriptor, isLocked: isLocked)
        guard isKnown, status.st_mode & S_IFMT == S_IFREG else {
            throw VaultError(path, "is no ordinary file")
        }
        guard status.st_uid == geteuid() else { throw VaultError(path, "belongs to another user") }
        guard status.st_mode & 0o077 == 0 else {
            throw VaultError(path, "can be read by others than its owner; chmod 600 changes that")
        }
        return file
    }

    /// Opens an existing file for reading and changing, and locks it for this process.
    ///
    /// - Throws: ``VaultError``, also when another process has the file locked (``VaultError/isBusy``), or when the
    ///   file has a second name (hard link).
    static func locking(_ path: String) throws(VaultError) -> VaultFile? {
        guard let file = try opening(path, O_RDWR, isLocked: true) else { return nil }
        try file.checkOnlyName()
        try file.lock()
        return file
    }

    private init(path: String, size: Int, descriptor: Int32, isLocked: Bool) {
        (self.path, self.size, self.descriptor, self.isLocked) = (path, size, descriptor, isLocked)
    }

    deinit {
        // A process that is just being started may have a copy of the descriptor for a moment.
        if isLocked { _ = flock(descriptor, LOCK_UN) }
        close(descriptor)
    }

    private borrowing func lock() throws(VaultError) {
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { throw .busy(path) }
    }

    /// Refuses a file that a hard link gives to another directory as well.
    borrowing func checkOnlyName() throws(VaultError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw VaultError(path, cannot: "read it") }
        guard status.st_nlink == 1 else {
            throw VaultError(
                path,
                "has \(status.st_nlink) names on the disk (hard links), and what has another may use its pads too; "
                    + "remove the others")
        }
    }

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

    /// Appends bytes.
    borrowing func append(_ data: Data) throws(VaultError) {
        var failure: VaultError?
        unsafe data.withUnsafeBytes { bytes in
            do throws(VaultError) { unsafe try append(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Shortens the file.
    borrowing func truncate(to size: Int) throws(VaultError) {
        guard ftruncate(descriptor, off_t(size)) == 0 else { throw VaultError(path, cannot: "cut it") }
    }

    /// Writes over the file's beginning.
    borrowing func overwrite(_ data: Data) throws(VaultError) {
        let count = unsafe data.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        guard count == data.count else { throw VaultError(path, cannot: "write it") }
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

    /// Returns when everything that was written is on the disk (fsync).
    borrowing func synchronize() throws(VaultError) {
        guard fsync(descriptor) == 0 else { throw VaultError(path, cannot: "write it") }
    }

    /// Gives a file another name; a file that has that name is replaced.
    static func move(_ path: String, to name: String) throws(VaultError) {
        guard unsafe rename(path, name) == 0 else { throw VaultError(name, cannot: "name it") }
    }

    /// Gives a file another name, unless a file has that name.
    static func moveKeeping(_ path: String, to name: String) throws(VaultError) {
        guard unsafe link(path, name) == 0 || errno == EEXIST else {
            throw VaultError(name, cannot: "name it")
        }
        remove(path)
    }

    static func remove(_ path: String) { unsafe _ = unlink(path) }

    /// Removes a file; it is no error when the file is gone already.
    static func removeSurely(_ path: String) throws(VaultError) {
        guard unsafe unlink(path) == 0 || errno == ENOENT else { throw VaultError(path, cannot: "remove it") }
    }
}

/// A directory that only its owner can enter; only one process at a time can have it open, unless it is shared.
struct VaultDirectory: ~Copyable {
    let path: String
    private let descriptor: Int32

    /// Opens a directory, or makes it if it is not there.
    ///
    /// - Parameters:
    ///   - path: The directory's path; those above it must exist.
    ///   - isShared: Whether other processes may have it open, too.
    /// - Returns: The directory, which is locked until this value is destroyed.
    /// - Throws: ``VaultError``, also when another process has it open.
    static func opening(_ path: String, isShared: Bool = false) throws(VaultError) -> VaultDirectory {
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw VaultError(path, cannot: "make this directory")
        }
        let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw VaultError(path, cannot: "open this directory") }
        let directory = VaultDirectory(path: path, descriptor: descriptor)
        try directory.check(isShared: isShared)
        return directory
    }

    private init(path: String, descriptor: Int32) { (self.path, self.descriptor) = (path, descriptor) }

    private borrowing func check(isShared: Bool) throws(VaultError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_uid == geteuid(),
            status.st_mode & 0o077 == 0
        else {
            throw VaultError(path, "is not its user's alone; chmod 700 changes that")
        }
        // The system releases the lock when the process ends, however it ends.
        guard !isShared else { return }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw .busy(path)
        }
    }

    deinit {
        // A process that is just being started may have a copy of the descriptor for a moment, so the lock is
        // released explicitly.
        _ = flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Makes a directory and those above it that are missing.
    static func makeAll(_ path: String) throws(VaultError) {
        if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        let code = errno
        let parent = path.split(separator: "/").dropLast().joined(separator: "/")
        guard code == ENOENT, !parent.isEmpty else {
            throw VaultError(path, "cannot make this directory: \(VaultError.reason(code))")
        }
        try makeAll((path.hasPrefix("/") ? "/" : "") + parent)
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw VaultError(path, cannot: "make this directory")
        }
    }

    /// Returns when the names of the directory's files are on the disk (fsync).
    borrowing func synchronize() throws(VaultError) {
        guard fsync(descriptor) == 0 else { throw VaultError(path, cannot: "write this directory") }
    }

    /// Removes the files whose names have one of these endings.
    borrowing func removeFiles(endingIn endings: [String]) {
        for name in Self.names(in: path) ?? [] where endings.contains(where: name.hasSuffix) {
            VaultFile.remove("\(path)/\(name)")
        }
    }

    /// The names in a directory; nil when there is none.
    static func names(in path: String) -> [String]? {
        guard let stream = unsafe opendir(path) else { return nil }
        defer { unsafe _ = closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            names.append(
                unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return names
    }
}

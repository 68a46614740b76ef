import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file with digests of evidence that was accepted before, which one check at a time holds from reading to writing.
package struct SeenFile {
    /// What was accepted before, as the file has it.
    package let evidence: SeenEvidence
    private let path: String
    private let file: FileHandle

    /// The largest file that is read: one line for each digest.
    private static let limit = SeenEvidence.limit * 65

    /// Opens a file, or makes it for its owner alone, waits until no other check has it, and reads it.
    ///
    /// - Throws: ``SeenFileError`` that names the file.
    package init(_ path: String) throws(SeenFileError) {
        self.path = path
        file = try Self.locked(path)
        let data: Data
        do { data = try file.read(upToCount: Self.limit + 1) ?? Data() } catch {
            throw SeenFileError("\(path): cannot be read.")
        }
        guard data.count <= Self.limit,
            let evidence = SeenEvidence(text: String(decoding: data, as: UTF8.self))
        else {
            throw SeenFileError(
                "\(path): a line is not a digest of 64 digits or stands there twice, or there are too many.")
        }
        self.evidence = evidence
    }

    /// Opens and locks the file that has the path.
    ///
    /// Another process may have put another file there between the two steps, or taken it away: a lock of the old one would
    /// keep nobody out. Then both are done again.
    private static func locked(_ path: String) throws(SeenFileError) -> FileHandle {
        for _ in 0..<16 {
            let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
            guard descriptor >= 0 else { throw SeenFileError("\(path): cannot be opened to read and write.") }
            let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
            var held = stat()
            var named = stat()
            guard unsafe fstat(descriptor, &held) == 0, held.st_mode & S_IFMT == S_IFREG else {
                throw SeenFileError("\(path): is no ordinary file.")
            }
            guard flock(descriptor, LOCK_EX) == 0 else { throw SeenFileError("\(path): cannot be locked.") }
            guard unsafe stat(path, &named) == 0, held.st_dev == named.st_dev, held.st_ino == named.st_ino
            else { continue }
            return file
        }
        throw SeenFileError("\(path): is replaced all the time.")
    }

    /// Writes one more digest, and waits until it is on the disk.
    ///
    /// - Parameter digest: Of 32 bytes.
    /// - Throws: ``SeenFileError`` where it may not be there; the evidence must then not count as accepted.
    package func append(_ digest: [UInt8]) throws(SeenFileError) {
        do {
            try file.seekToEnd()
            try file.write(contentsOf: Data("\(Hex.text(digest))\n".utf8))
            try file.synchronize()
        } catch {
            throw SeenFileError("\(path): cannot be written, so that the evidence is not accepted.")
        }
    }
}

/// Why a file of evidence that was seen cannot be used, in one line.
package struct SeenFileError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

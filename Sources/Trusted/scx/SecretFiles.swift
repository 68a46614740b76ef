#if Network
    import ArgumentParser
    import Foundation
    import SCXAttestation

    #if canImport(Glibc)
        import Glibc
    #elseif canImport(Musl)
        import Musl
    #else
        import Darwin
    #endif

    /// Secrets that came from their owner, as files of a memory file system, for what reads files.
    ///
    /// The folder is this user's alone, and is removed with this object.
    final class SecretFiles: Sendable {
        /// The secrets that `scx serve` takes, with the names of the flags whose files they replace.
        static let known = ["api-keys", "session-key", "tls-ca", "tls-cert", "tls-key"]

        private let folder: String
        /// The paths by name.
        let paths: [String: String]

        /// Writes each secret into a file.
        ///
        /// - Throws: `SecretsError` for a secret that is not known here, and where no memory file system can be written.
        init(_ secrets: Secrets) throws(SecretsError) {
            for name in secrets.values.keys.sorted() where !Self.known.contains(name) {
                throw SecretsError(
                    "the releaser gave '\(name)', which is no secret of 'scx serve' (\(Self.known.joined(separator: ", ")))"
                )
            }
            let folder = try Self.folder()
            self.folder = folder
            var paths: [String: String] = [:]
            for (name, value) in secrets.values {
                let path = "\(folder)/\(name)"
                guard
                    FileManager.default.createFile(
                        atPath: path, contents: Data(value), attributes: [.posixPermissions: 0o600])
                else {
                    try? FileManager.default.removeItem(atPath: folder)
                    throw SecretsError("\(path): cannot be written")
                }
                paths[name] = path
            }
            self.paths = paths
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        /// A new folder in memory, which this user alone can enter.
        private static func folder() throws(SecretsError) -> String {
            for place in ["/run", "/dev/shm", "/tmp", "/"] where isInMemory(place) {
                var name = Array("\(place == "/" ? "" : place)/scx-secrets-XXXXXX".utf8CString)
                guard unsafe mkdtemp(&name) != nil else { continue }
                return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
            throw SecretsError(
                "no memory file system (/run, /dev/shm, /tmp) can be written, to keep secrets in")
        }

        /// Whether a file system is mounted at a folder that is in memory (tmpfs, ramfs) and on no disk.
        private static func isInMemory(_ path: String) -> Bool {
            guard let mounts = FileManager.default.contents(atPath: "/proc/self/mounts") else { return false }
            // Device, folder, kind; a later line hides an earlier one of the same folder.
            let kind = String(decoding: mounts, as: UTF8.self).split(separator: "\n")
                .map { $0.split(separator: " ") }
                .last { $0.count > 2 && $0[1] == path }?[2]
            return ["tmpfs", "ramfs", "rootfs"].contains(kind)
        }
    }
#endif

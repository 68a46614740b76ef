import Crypto
import Foundation
import Synchronization

/// Idle sessions on disk, encrypted with AES-256 in Galois/Counter Mode.
///
/// Each file has one session. It can be decrypted only with the key of its namespace, which is derived from the
/// master key by HKDF-SHA256; a namespace is the name of an API key. The master key is in a file that is read anew
/// each time. Once that file is deleted, nobody can decrypt the sessions, not even this program. A session belongs to
/// a connection to a worker, which ends with the process, so a new vault begins by removing what an earlier one left.
///
/// A file is a header, then parts of at most 1 MiB, each `nonce | encrypted bytes | tag`. A part is authenticated
/// together with its number, the size of all, the session's name and the namespace, so that cutting, exchanging or
/// renaming parts or files is noticed.
package final class SessionVault: Sendable {
    /// The most that may be stored.
    package struct Limits: Equatable, Sendable {
        /// The most bytes of all files together.
        ///
        /// When a new session needs more, the oldest ones are removed.
        package var bytes = 16 << 30
        /// How long a session is kept before it is removed.
        package var age = Duration.seconds(86_400)

        package init() {}
    }

    /// The name of a session: random, so that the name of its file says nothing.
    package struct ID: Hashable, Sendable {
        fileprivate let name: String

        package init() { name = randomDigits(words: 2) }
    }

    /// The result of opening a session.
    package enum Opened: ~Copyable, Sendable {
        case found(SecretBuffer<UInt8>)
        /// The session was never stored, or it was removed.
        case missing
        /// The file or its key was changed; the file is removed.
        case unreadable
    }

    private struct Entry {
        let namespace: String
        /// How many bytes were encrypted.
        let count: Int
        let sealed = ContinuousClock.now
    }

    private static let header: [UInt8] = Array("scxvault".utf8) + [1]

    private let directory: VaultDirectory
    private let keyFile: String
    private let limits: Limits
    private let entries = Mutex<[ID: Entry]>([:])

    /// Opens a vault without sessions.
    ///
    /// - Parameters:
    ///   - directory: The vault's directory, which only its owner can enter and only one process can use; made if it is
    ///     missing.
    ///   - keyFile: The file with the master key, made if it is not there; nil for `key` in the directory.
    ///   - limits: How much may be stored.
    /// - Throws: ``VaultError``, also when others can read the directory or the key.
    package init(directory: String, keyFile: String? = nil, limits: Limits = .init()) throws(VaultError) {
        self.directory = try VaultDirectory.opening(directory)
        self.keyFile = keyFile ?? "\(directory)/key"
        self.limits = limits
        sweepFiles()
        if try KeyFile.read(self.keyFile) == nil { try KeyFile.make(self.keyFile) }
    }

    /// The size of all files together.
    package var byteCount: Int {
        entries.withLock { $0.values.reduce(0) { $0 + Self.fileSize($1.count) } }
    }

    /// Encrypts a session and stores it.
    ///
    /// - Parameters:
    ///   - bytes: The session.
    ///   - id: Its name.
    ///   - namespace: The name of the API key to which it belongs.
    /// - Throws: ``VaultError``; then nothing is stored.
    package func seal(_ bytes: borrowing SecretBuffer<UInt8>, id: ID, namespace: String) throws(VaultError) {
        let master: SymmetricKey
        if let key = try KeyFile.read(keyFile) {
            master = key
        } else {
            // The master key is gone, so nobody can decrypt what was stored under it.
            entries.withLock { $0 = [:] }
            sweepFiles()
            try KeyFile.make(keyFile)
            guard let key = try KeyFile.read(keyFile) else {
                throw VaultError(keyFile, "was deleted while in use")
            }
            master = key
        }
        sweep()
        try reserve(id, Entry(namespace: namespace, count: bytes.count))
        do throws(VaultError) {
            let name = partial(id)
            VaultFile.remove(name)
            let file = try VaultFile.creating(name)
            try write(bytes, file, id, namespace, key(of: namespace, id, master))
            try VaultFile.move(name, to: path(id))
            try directory.synchronize()
        } catch {
            remove(id)
            throw error
        }
    }

    /// Decrypts a session; it stays stored.
    package func open(id: ID, namespace: String) -> Opened {
        guard let entry = entries.withLock({ $0[id] }) else { return .missing }
        if let bytes = read(id, namespace, entry.count) { return .found(bytes) }
        remove(id)
        return .unreadable
    }

    /// Removes a session.
    package func remove(_ id: ID) {
        entries.withLock { $0[id] = nil }
        VaultFile.remove(path(id))
        VaultFile.remove(partial(id))
    }

    /// Removes all sessions of a namespace.
    package func removeAll(namespace: String) {
        for id in entries.withLock({ $0.filter { $0.value.namespace == namespace }.keys }) { remove(id) }
    }

    /// Removes sessions that are too old.
    package func sweep() {
        let limit = ContinuousClock.now - limits.age
        for id in entries.withLock({ $0.filter { $0.value.sealed < limit }.keys }) { remove(id) }
    }

    // MARK: Files

    private func path(_ id: ID) -> String { "\(directory.path)/\(id.name).sealed" }
    private func partial(_ id: ID) -> String { "\(directory.path)/\(id.name).partial" }

    private func sweepFiles() { directory.removeFiles(endingIn: [".sealed", ".partial"]) }

    private static func fileSize(_ count: Int) -> Int { header.count + SealedParts.sealedSize(count) }

    /// Makes room for a session, and enters it in the list.
    private func reserve(_ id: ID, _ entry: Entry) throws(VaultError) {
        let size = Self.fileSize(entry.count)
        guard size <= limits.bytes else {
            throw VaultError(directory.path, "has room for \(limits.bytes) bytes, a session has \(size)")
        }
        let removed = entries.withLock { entries -> [ID] in
            entries[id] = nil
            var total = entries.values.reduce(size) { $0 + Self.fileSize($1.count) }
            var removed: [ID] = []
            for (id, entry) in entries.sorted(by: { $0.value.sealed < $1.value.sealed }) {
                guard total > limits.bytes else { break }
                total -= Self.fileSize(entry.count)
                entries[id] = nil
                removed.append(id)
            }
            entries[id] = entry
            return removed
        }
        for id in removed { VaultFile.remove(path(id)) }
    }

    private func write(
        _ bytes: borrowing SecretBuffer<UInt8>, _ file: borrowing VaultFile, _ id: ID, _ namespace: String,
        _ key: SymmetricKey
    ) throws(VaultError) {
        try file.append(Data(Self.header))
        let count = bytes.count
        try unsafe bytes.span.withUnsafeBytes { bytes throws(VaultError) in
            unsafe try SealedParts.append(bytes, to: file, key: key) {
                Self.context($0, count, id, namespace)
            }
        }
        try file.synchronize()
    }

    /// Reads and decrypts a file; nil when anything about it is not as it was written.
    private func read(_ id: ID, _ namespace: String, _ count: Int) -> SecretBuffer<UInt8>? {
        guard let master = try? KeyFile.read(keyFile), let file = try? VaultFile.reading(path(id)),
            file.size == Self.fileSize(count)
        else { return nil }
        let key = key(of: namespace, id, master)
        var header = Self.header
        guard unsafe header.withUnsafeMutableBytes({ unsafe file.fill($0) }), header == Self.header else {
            return nil
        }
        var bytes = SecretBuffer<UInt8>(repeating: 0, count: count)
        var span = bytes.mutableSpan
        let isAsSealed = unsafe span.withUnsafeMutableBytes { bytes in
            unsafe SealedParts.read(into: bytes, from: file, key: key) {
                Self.context($0, count, id, namespace)
            }
        }
        guard isAsSealed else { return nil }
        return bytes
    }

    /// The data that is authenticated together with a part.
    private static func context(_ part: Int, _ count: Int, _ id: ID, _ namespace: String) -> [UInt8] {
        var context = header + id.name.utf8
        for number in [part, count] {
            context += (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
        }
        return context + namespace.utf8
    }

    // MARK: Keys

    /// Derives the key of one session's file.
    private func key(of namespace: String, _ id: ID, _ master: SymmetricKey) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: master, salt: Array(id.name.utf8),
            info: Array("scx session vault 1: \(namespace)".utf8), outputByteCount: KeyFile.size)
    }
}

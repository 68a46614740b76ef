import Foundation
import SCXEncoding
import Testing

@Suite("vault for idle sessions")
struct SessionVaultTests {
    /// A path that does not exist yet, removed in the end.
    final class Place {
        let path = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        deinit { try? FileManager.default.removeItem(atPath: path) }

        var key: String { "\(path)/key" }

        func files(_ ending: String = ".sealed") throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(ending) }
                .map { "\(path)/\($0)" }
        }

        func mode(_ file: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        }
    }

    static func bytes(_ count: Int, _ seed: Int = 1) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 167 &+ seed &* 31) ^ ($0 >> 8)) }
    }

    static func seal(
        _ bytes: [UInt8], in vault: SessionVault, namespace: String = "alice", id: SessionVault.ID = .init()
    ) throws -> SessionVault.ID {
        var buffer = SecretBuffer<UInt8>(repeating: 0, count: bytes.count)
        buffer.store(bytes.span, at: 0)
        try vault.seal(buffer, id: id, namespace: namespace)
        return id
    }

    /// What is opened, or why nothing is.
    static func open(_ id: SessionVault.ID, in vault: SessionVault, namespace: String = "alice") -> Found {
        switch vault.open(id: id, namespace: namespace) {
        case .found(let bytes): .bytes((0..<bytes.count).map { bytes.span[$0] })
        case .missing: .missing
        case .unreadable: .unreadable
        }
    }

    enum Found: Equatable {
        case bytes([UInt8])
        case missing, unreadable
    }

    @Test("what is sealed comes back, whatever its size", arguments: [0, 1, 27, 28, 1_000, (1 << 20) + 1])
    func roundTrip(count: Int) throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        let bytes = Self.bytes(count)
        let id = try Self.seal(bytes, in: vault)
        let other = try Self.seal(Self.bytes(count, 2), in: vault)
        for _ in 0..<2 { #expect(Self.open(id, in: vault) == .bytes(bytes)) }
        #expect(Self.open(other, in: vault) == .bytes(Self.bytes(count, 2)))

        // Sealed again it is the new one.
        _ = try Self.seal([1, 2, 3], in: vault, id: id)
        #expect(Self.open(id, in: vault) == .bytes([1, 2, 3]))
        #expect(try place.files().count == 2)
        vault.remove(id)
        #expect(Self.open(id, in: vault) == .missing)
        #expect(try place.files().count == 1)
        #expect(Self.open(SessionVault.ID(), in: vault) == .missing)
    }

    @Test("directory, key and files are their owner's alone, and names and contents say nothing")
    func filesSayNothing() throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        let bytes = Self.bytes(5_000)
        _ = try Self.seal(bytes, in: vault, namespace: "alice-of-accounting")
        _ = try Self.seal(bytes, in: vault, namespace: "alice-of-accounting")
        let files = try place.files()
        #expect(try place.mode(place.path) == 0o700)
        for file in files + [place.key] { #expect(try place.mode(file) == 0o600) }
        #expect(try place.files("").count == 3)
        let contents = try files.map { try Data(contentsOf: URL(filePath: $0)) }
        #expect(contents[0].dropFirst(9) != contents[1].dropFirst(9))
        for content in contents {
            for start in stride(from: 0, to: bytes.count - 16, by: 16) {
                #expect(content.range(of: Data(bytes[start..<start + 16])) == nil)
            }
            #expect(content.range(of: Data("alice".utf8)) == nil)
        }
        for file in files {
            let name = URL(filePath: file).deletingPathExtension().lastPathComponent
            #expect(name.count == 32 && name.allSatisfy(\.isHexDigit))
        }
    }

    @Test("another namespace opens nothing, and forgetting one forgets no other")
    func namespaces() throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        let first = try Self.seal([1], in: vault, namespace: "alice")
        #expect(Self.open(first, in: vault, namespace: "bob") == .unreadable)
        #expect(Self.open(first, in: vault, namespace: "alice") == .missing)

        let ids = try ["alice", "bob", "alice"].map { try Self.seal([1], in: vault, namespace: $0) }
        vault.removeAll(namespace: "alice")
        #expect(Self.open(ids[0], in: vault) == .missing)
        #expect(Self.open(ids[2], in: vault) == .missing)
        #expect(Self.open(ids[1], in: vault, namespace: "bob") == .bytes([1]))
        #expect(try place.files().count == 1)
    }

    @Test("files that were swapped are not opened")
    func swapped() throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        let ids = try [Self.seal([1, 2], in: vault), Self.seal([3, 4], in: vault)]
        let files = try place.files()
        let contents = try files.map { try Data(contentsOf: URL(filePath: $0)) }
        for (file, content) in zip(files, contents.reversed()) { try content.write(to: URL(filePath: file)) }
        for id in ids { #expect(Self.open(id, in: vault) == .unreadable) }
        #expect(try place.files().isEmpty)
    }

    @Test("parts of a file that changed places are not opened")
    func partsSwapped() throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        let part = (1 << 20) + 28
        let id = try Self.seal(Self.bytes(2 << 20), in: vault)
        let file = try #require(try place.files().first)
        let content = try Data(contentsOf: URL(filePath: file))
        #expect(content.count == 9 + 2 * part)
        try (content[..<9] + content[(9 + part)...] + content[9..<9 + part]).write(to: URL(filePath: file))
        #expect(Self.open(id, in: vault) == .unreadable)
    }

    @Test("one flipped bit anywhere, a byte less or a byte more, and nothing is opened")
    func damaged() throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        let bytes = Self.bytes(20)
        let size = 9 + 28 + 20
        for position in 0..<size + 2 {
            let id = try Self.seal(bytes, in: vault)
            let file = try #require(try place.files().first)
            var content = try Data(contentsOf: URL(filePath: file))
            #expect(content.count == size)
            switch position {
            case size: content.removeLast()
            case size + 1: content.append(0)
            default: content[position] ^= UInt8(1 << (position % 8))
            }
            try content.write(to: URL(filePath: file))
            #expect(Self.open(id, in: vault) == .unreadable, "byte \(position)")
            #expect(try place.files().isEmpty)
        }
    }

    @Test("without its key nothing is opened, also when the files are put back; a new key serves what comes")
    func keyDeleted() throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        let old = try Self.seal([1], in: vault)
        let kept = try Self.seal([2], in: vault)
        let contents = try place.files().map { ($0, try Data(contentsOf: URL(filePath: $0))) }
        try FileManager.default.removeItem(atPath: place.key)
        #expect(Self.open(old, in: vault) == .unreadable)

        // The next to be sealed gets a new key, and what is stale goes.
        let new = try Self.seal([3], in: vault)
        #expect(Self.open(new, in: vault) == .bytes([3]))
        #expect(Self.open(kept, in: vault) == .missing)
        #expect(try place.files().count == 1)
        #expect(try Data(contentsOf: URL(filePath: place.key)).count == 32)

        // Another key in its place is of no more use than none.
        let id = try Self.seal([4], in: vault)
        try Data(Self.bytes(32)).write(to: URL(filePath: place.key))
        for (path, content) in contents { try content.write(to: URL(filePath: path)) }
        #expect(Self.open(id, in: vault) == .unreadable)
        #expect(Self.open(new, in: vault) == .unreadable)
    }

    @Test("a key or a directory that others can read is refused, and so is a key of another size")
    func permissions() throws {
        let place = Place()
        func vault() throws { _ = try SessionVault(directory: place.path) }
        try vault()
        let files = FileManager.default
        try files.setAttributes([.posixPermissions: 0o640], ofItemAtPath: place.key)
        #expect(throws: VaultError.self) { try vault() }
        try files.setAttributes([.posixPermissions: 0o600], ofItemAtPath: place.key)
        try vault()
        try files.setAttributes([.posixPermissions: 0o750], ofItemAtPath: place.path)
        #expect(throws: VaultError.self) { try vault() }
        try files.setAttributes([.posixPermissions: 0o700], ofItemAtPath: place.path)
        try vault()
        for count in [0, 31, 33] {
            try Data(Self.bytes(count)).write(to: URL(filePath: place.key))
            try files.setAttributes([.posixPermissions: 0o600], ofItemAtPath: place.key)
            let error = #expect(throws: VaultError.self) { try vault() }
            #expect(error?.description.contains("is \(count) bytes long") == true)
        }
        try files.removeItem(atPath: place.key)
        try files.createDirectory(atPath: place.key, withIntermediateDirectories: false)
        #expect(throws: VaultError.self) { try vault() }
        #expect(throws: VaultError.self) {
            try SessionVault(directory: "/dev/null/vault")
        }
    }

    @Test("the key may lie elsewhere, and one process holds a vault at a time")
    func places() throws {
        let place = Place()
        let keys = Place()
        try FileManager.default.createDirectory(atPath: keys.path, withIntermediateDirectories: false)
        let vault = try SessionVault(directory: place.path, keyFile: keys.key)
        let id = try Self.seal([1], in: vault)
        #expect(!FileManager.default.fileExists(atPath: place.key))
        let error = #expect(throws: VaultError.self) { try SessionVault(directory: place.path) }
        #expect(error?.description.contains("another process") == true)
        #expect(Self.open(id, in: vault) == .bytes([1]))
    }

    @Test("what a program left that ended while it wrote is swept, and the key stays")
    func crash() throws {
        let place = Place()
        do { _ = try Self.seal([1], in: SessionVault(directory: place.path)) }
        let key = try Data(contentsOf: URL(filePath: place.key))
        try Data([1, 2]).write(to: URL(filePath: "\(place.path)/00.partial"))
        try Data([1, 2]).write(to: URL(filePath: "\(place.key).partial"))
        try Data([1, 2]).write(to: URL(filePath: "\(place.path)/notes.txt"))
        let vault = try SessionVault(directory: place.path)
        let names = try place.files("").map { URL(filePath: $0).lastPathComponent }
        #expect(names.sorted() == ["key", "notes.txt"])
        #expect(try Data(contentsOf: URL(filePath: place.key)) == key)
        let id = try Self.seal([3], in: vault)
        #expect(Self.open(id, in: vault) == .bytes([3]))
    }

    @Test("the oldest make room, one that is too large is refused, and the too old are swept")
    func limits() throws {
        let place = Place()
        var limits = SessionVault.Limits()
        limits.bytes = 3 * (9 + 28 + 100)
        let vault = try SessionVault(directory: place.path, limits: limits)
        #expect(throws: VaultError.self) { try Self.seal(Self.bytes(375), in: vault) }
        let ids = try (0..<5).map { try Self.seal(Self.bytes(100, $0), in: vault) }
        #expect(vault.byteCount == limits.bytes)
        #expect(try place.files().count == 3)
        for (i, id) in ids.enumerated() {
            #expect(Self.open(id, in: vault) == (i < 2 ? .missing : .bytes(Self.bytes(100, i))))
        }

        let short = Place()
        limits.age = .zero
        let forgetful = try SessionVault(directory: short.path, limits: limits)
        for _ in 0..<2 { _ = try Self.seal([1], in: forgetful) }
        #expect(try short.files().count == 1)
        forgetful.sweep()
        #expect(try short.files().isEmpty)
        #expect(forgetful.byteCount == 0)
    }

    @Test("a disk that takes nothing leaves nothing behind")
    func cannotWrite() throws {
        let place = Place()
        let vault = try SessionVault(directory: place.path)
        try FileManager.default.removeItem(atPath: place.path)
        #expect(throws: VaultError.self) { try Self.seal([1], in: vault) }
        #expect(vault.byteCount == 0)
    }

    @Test("beginnings of token lists are recognised, and those of other lists and processes are not")
    func prefixes() {
        let hasher = PrefixHasher()
        let tokens: [Int32] = Array(0..<100)
        let digests = hasher.digests(of: tokens, at: [40, 8, 100, 101, 8])
        #expect(Set(digests.keys) == [8, 40, 100])
        let shorter = hasher.digests(of: Array(tokens.prefix(41)), at: [8, 40, 100])
        #expect(shorter == digests.filter { $0.key < 41 })
        var other = tokens
        other[39] = 7
        let changed = hasher.digests(of: other, at: [8, 40, 100])
        #expect(changed[8] == digests[8])
        #expect(changed[40] != digests[40])
        #expect(PrefixHasher().digests(of: tokens, at: [8])[8] != digests[8])
        #expect(hasher.digests(of: [], at: [8]).isEmpty)
    }
}

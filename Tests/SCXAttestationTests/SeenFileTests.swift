import Foundation
import SCXAttestation
import Testing

/// The file of evidence that was accepted before.
struct SeenFileTests {
    private static func path() -> String {
        FileManager.default.temporaryDirectory.appending(path: "seen-\(UUID().uuidString)").path()
    }

    @Test("Digests are there again when the file is opened again, and only its owner reads it")
    func written() throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let digest = [UInt8](repeating: 0xab, count: 32)
        do {
            let file = try SeenFile(path)
            #expect(file.evidence.digests.isEmpty)
            try file.append(digest)
        }
        #expect(try SeenFile(path).evidence.digests == [digest])
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test("What is no such file is refused by its name")
    func refused() throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        for text in ["digest\n", String(repeating: String(repeating: "ab", count: 32) + "\n", count: 2)] {
            try Data(text.utf8).write(to: URL(filePath: path))
            let error = try #require(throws: SeenFileError.self) { _ = try SeenFile(path) }
            #expect(error.description.hasPrefix(path))
        }
        for other in [path + "/inside", NSTemporaryDirectory()] {
            #expect(throws: SeenFileError.self) { _ = try SeenFile(other) }
        }
    }

    /// What another thread found.
    private final class Found: @unchecked Sendable {
        let isThere = DispatchSemaphore(value: 0)
        var digests: [[UInt8]]?
    }

    /// The pause gives the second check time to open the old file; whether it did or not, it must read the new one.
    @Test("A check that waits for a file that is then replaced takes the new one")
    func replaced() throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let digest = [UInt8](repeating: 7, count: 32)
        let found = Found()
        var first: SeenFile? = try SeenFile(path)
        // A thread of its own: it waits for a lock, which the tasks of other tests must not wait for.
        Thread.detachNewThread {
            found.digests = try? SeenFile(path).evidence.digests
            found.isThere.signal()
        }
        Thread.sleep(forTimeInterval: 0.05)
        // Written elsewhere, and then put in the old file's place.
        try Data((Hex.text(digest) + "\n").utf8).write(to: URL(filePath: path), options: .atomic)
        #expect(first?.evidence.digests == [])
        first = nil
        found.isThere.wait()
        #expect(found.digests == [digest])
    }

    /// Fails where two checks hold the file at a time, also where both found none and made it.
    @Test("Of many checks at once that find no file, one alone accepts the same evidence", arguments: 0..<8)
    func together(round: Int) async throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let digest = [UInt8](repeating: UInt8(round), count: 32)
        let accepted = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    let file = try SeenFile(path)
                    if file.evidence.contains(digest) { return false }
                    try file.append(digest)
                    return true
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(accepted == 1)
        #expect(try SeenFile(path).evidence.digests == [digest])
    }
}

import Crypto
import Foundation
import SCXAttestation
import Testing

/// A server's end: evidence from the kernel's files, for a key and a question.
struct AttestedIdentityTests {
    private func kernel(_ server: MadeIdentity, fault: FakeKernel.Fault = []) throws -> FakeKernel {
        try FakeKernel(fault: fault) { [source = server.source] data in try source.evidence(of: data) }
    }

    @Test("Documents from the kernel's files are accepted, each for its question")
    func documents() async throws {
        let server = try MadeIdentity()
        let kernel = try kernel(server)
        defer { kernel.end() }
        let identity = AttestedIdentity(
            key: server.publicKey, statement: server.statement,
            source: try TSMReports(directory: kernel.directory.path),
            collateral: try server.report.certificates(), eventLog: [1, 2, 3])
        for _ in 0..<3 {
            let nonce = ReportData.freshNonce()
            let document = try await identity.document(answering: nonce)
            let appraisal = ServerAppraisal(
                document, key: server.publicKey, nonce: nonce, policy: .standard, roots: server.report.roots,
                at: try time("2026-02-03T12:00:00Z"))
            #expect(appraisal.failures == [])
            #expect(document.eventLog == [1, 2, 3])
        }
        #expect(Set(kernel.asked).count == 3)
    }

    @Test("Several questions at once are answered, each with its own evidence")
    func together() async throws {
        let server = try MadeIdentity()
        let kernel = try kernel(server)
        defer { kernel.end() }
        let identity = AttestedIdentity(
            key: server.publicKey, statement: server.statement,
            source: try TSMReports(directory: kernel.directory.path))
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let nonce = ReportData.freshNonce()
                    return try await identity.document(answering: nonce).nonce == nonce
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
        #expect(Set(kernel.asked).count == 8)
    }

    @Test(
        "Files that are not a report of this question are refused, and the file is named",
        arguments: [
            (FakeKernel.Fault.otherProvider, "provider: is 'arm_cca'"),
            (.otherGeneration, "another program changed"), (.shortReport, "outblob: has 1183 bytes"),
            (.longReport, "outblob: has more than"),
        ])
    func faults(fault: FakeKernel.Fault, words: String) throws {
        let server = try MadeIdentity()
        let kernel = try kernel(server, fault: fault)
        defer { kernel.end() }
        let source = try TSMReports(directory: kernel.directory.path)
        do {
            _ = try source.evidence(of: [UInt8](repeating: 7, count: 64))
            Issue.record("it was taken")
        } catch {
            #expect(error.description.contains(words), "\(error)")
        }
    }

    @Test("A machine without the kernel's interface is told what is missing")
    func noGuest() {
        #expect(throws: EvidenceError.self) { try TSMReports(directory: "/nowhere/tsm") }
    }

    @Test("The digest of a model is what sha256sum says of its files, those of its folders among them")
    func modelDigest() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "model-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        for part in ["1_Pooling", ".cache"] {
            try FileManager.default.createDirectory(
                at: folder.appending(path: part), withIntermediateDirectories: true)
        }
        let texts = [
            ("config.json", "{}"), ("B.bin", "b"), ("a.bin", ""), (".hidden", "x"), (".cache/y", "y"),
            ("1_Pooling/config.json", "p"),
        ]
        for (name, text) in texts { try Data(text.utf8).write(to: folder.appending(path: name)) }
        func digest(_ text: String) -> String { Hex.text(SHA256.hash(data: Data(text.utf8))) }
        let lines =
            "\(digest("p"))  1_Pooling/config.json\n\(digest("b"))  B.bin\n\(digest(""))  a.bin\n\(digest("{}"))  config.json\n"
        #expect(try ModelDigest.digest(of: folder.path) == digest(lines))
        #expect(try ModelDigest.digest(of: folder.appending(path: "B.bin").path) == digest("b"))
        #expect(throws: EvidenceError.self) { try ModelDigest.digest(of: folder.path + "/none") }
        // A name that would write a line of its own.
        try Data().write(to: folder.appending(path: "a\n\(digest("b"))  b"))
        #expect(throws: EvidenceError.self) { try ModelDigest.digest(of: folder.path) }
    }
}

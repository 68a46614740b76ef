import Foundation
import SCXAttestation
import Testing

/// Secrets go to a guest whose evidence satisfies the policy, and to its process alone.
struct SecretsTests {
    private let values = [
        "session-key": [UInt8](repeating: 0x5e, count: 32), "api-keys": Array("ward KEY\n".utf8),
    ]
    private var now: Instant { get throws { try time("2026-02-03T12:00:00Z") } }

    private func releaser(_ server: MadeIdentity, policy json: String = #"{"snp": {}}"#) throws
        -> SecretsReleaser
    {
        SecretsReleaser(
            try Secrets(values), policy: try policy(json),
            files: try server.report.certificates().map { .init(name: "certificate", bytes: $0) },
            roots: server.report.roots)
    }

    private func checks(_ decision: SecretsReleaser.Decision) -> [Check] {
        decision.appraisal.failures.map(\.check)
    }

    @Test("A guest that satisfies the policy reads the secrets")
    func released() throws {
        let server = try MadeIdentity()
        let releaser = try releaser(
            server, policy: #"{"snp": {}, "runs": {"profiles": ["sealed"], "revisions": ["abc123"]}}"#)
        let receiver = SecretsReceiver(nonce: releaser.question(at: try now))
        let request = try receiver.request(statement: server.statement, source: server.source)
        let decision = releaser.decide(try SecretsRequest(request.json), at: try now)
        #expect(checks(decision) == [])
        let answer = try #require(decision.answer)
        #expect(
            !String(decoding: answer, as: UTF8.self).contains(
                Data(values["session-key"] ?? []).base64EncodedString()))
        #expect(try receiver.open(answer).values == values)
    }

    @Test("A question is answered once, in its time, and only if it was asked")
    func once() throws {
        let server = try MadeIdentity()
        let releaser = try releaser(server)
        let receiver = SecretsReceiver(nonce: releaser.question(at: try now))
        let request = try receiver.request(statement: server.statement, source: server.source)
        #expect(releaser.decide(request, at: try now).answer != nil)
        #expect(checks(releaser.decide(request, at: try now)) == [.replayed])

        let late = SecretsReceiver(nonce: releaser.question(at: try now))
        let slow = try late.request(statement: server.statement, source: server.source)
        let after = try now.advanced(by: SecretsReleaser.patience + 1)
        #expect(checks(releaser.decide(slow, at: after)) == [.replayed])

        let own = SecretsReceiver(nonce: ReportData.freshNonce())
        let unasked = try own.request(statement: server.statement, source: server.source)
        #expect(checks(releaser.decide(unasked, at: try now)) == [.replayed])
    }

    @Test("However many questions others ask, one that was asked before can be answered")
    func manyQuestions() throws {
        let server = try MadeIdentity()
        let releaser = try releaser(server)
        let first = SecretsReceiver(nonce: releaser.question(at: try now))
        var questions: Set<[UInt8]> = []
        for _ in 0..<2_000 { questions.insert(releaser.question(at: try now)) }
        #expect(questions.count == 2_000)
        let request = try first.request(statement: server.statement, source: server.source)
        #expect(releaser.decide(request, at: try now).answer != nil)
        #expect(checks(releaser.decide(request, at: try now)) == [.replayed])
        // Another releaser's questions are none of this one's.
        let other = SecretsReceiver(nonce: try self.releaser(server).question(at: try now))
        let foreign = try other.request(statement: server.statement, source: server.source)
        #expect(checks(releaser.decide(foreign, at: try now)) == [.replayed])
    }

    @Test("Nothing is given against evidence that the policy refuses, or that is for another key")
    func refused() throws {
        let server = try MadeIdentity()
        let strict = try releaser(server, policy: #"{"snp": {}, "runs": {"profiles": ["plain"]}}"#)
        let receiver = SecretsReceiver(nonce: strict.question(at: try now))
        let request = try receiver.request(statement: server.statement, source: server.source)
        let decision = strict.decide(request, at: try now)
        #expect(checks(decision) == [.statement])
        #expect(decision.answer == nil)

        // Who relays the evidence of a guest wants the answer under a key of his own.
        let releaser = try releaser(server)
        let nonce = releaser.question(at: try now)
        let guest = try SecretsReceiver(nonce: nonce).request(
            statement: server.statement, source: server.source)
        let thief = try SecretsReceiver(nonce: nonce).request(
            statement: server.statement, source: server.source)
        struct Form: Codable {
            var key: String
            var document: String
        }
        var stolen = try JSONDecoder().decode(Form.self, from: Data(guest.json))
        stolen.key = try JSONDecoder().decode(Form.self, from: Data(thief.json)).key
        let relayed = releaser.decide(
            try SecretsRequest(key: stolen.key, document: stolen.document), at: try now)
        #expect(checks(relayed) == [.channelKey, .reportData])
        #expect(relayed.answer == nil)
    }

    @Test("Evidence for a TLS server gets no secrets")
    func otherPurpose() throws {
        let server = try MadeIdentity()
        let releaser = try releaser(server)
        let document = try server.document(nonce: releaser.question(at: try now))
        let request = try SecretsRequest(
            key: Data(repeating: 9, count: 32).base64EncodedString(),
            document: String(decoding: document.json, as: UTF8.self))
        #expect(checks(releaser.decide(request, at: try now)).contains(.reportData))
    }

    @Test("An answer for another process or another question is not opened")
    func answers() throws {
        let server = try MadeIdentity()
        let releaser = try releaser(server)
        let receiver = SecretsReceiver(nonce: releaser.question(at: try now))
        let request = try receiver.request(statement: server.statement, source: server.source)
        let answer = try #require(releaser.decide(request, at: try now).answer)
        let other = SecretsReceiver(nonce: ReportData.noNonce)
        do {
            _ = try other.open(answer)
            Issue.record("another process opened it")
        } catch { #expect(error.description.contains("not encrypted to this process's key")) }
        var changed = answer
        changed[changed.count / 2] ^= 1
        do {
            _ = try receiver.open(changed)
            Issue.record("a changed answer was opened")
        } catch {}
    }

    @Test("Names and sizes have bounds, and no description shows a value")
    func forms() throws {
        for name in ["", "A", "a_b", "a/../b", String(repeating: "a", count: 65)] {
            #expect(throws: SecretsError.self) { try Secrets([name: [1]]) }
        }
        #expect(throws: SecretsError.self) { try Secrets(["a": [UInt8](repeating: 0, count: 1 << 20)]) }
        let secrets = try Secrets(["key": Array("swordfish".utf8)])
        #expect("\(secrets) \(String(reflecting: secrets))".contains("swordfish") == false)
        var dumped = ""
        dump(secrets, to: &dumped)
        #expect(!dumped.contains("115"))  // The first byte of the word.
    }
}

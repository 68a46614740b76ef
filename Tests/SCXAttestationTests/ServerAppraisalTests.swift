import Crypto
import Foundation
import SCXAttestation
import Testing

/// Documents of servers: what binds evidence to a connection, a question and a statement.
struct ServerAppraisalTests {
    private static let nonce = [UInt8](repeating: 0x77, count: 32)
    private static let demands = """
        {"snp": {}, "runs": {"profiles": ["sealed"], "models": ["\(String(repeating: "5d", count: 32))"],
         "workers": ["tcp://worker.example:7070"], "peers": ["tcp://peer.example:7071"], "revisions": ["abc123"]}}
        """

    private func appraise(
        _ document: AttestationDocument, of server: MadeIdentity, purpose: ReportData.Purpose = .channel,
        key: [UInt8]? = nil, nonce: [UInt8] = nonce, policy json: String = demands
    ) throws -> ServerAppraisal {
        ServerAppraisal(
            document, purpose, key: key ?? server.publicKey, nonce: nonce, policy: try policy(json),
            roots: server.report.roots, at: try time("2026-02-03T12:00:00Z"))
    }

    @Test("A document is accepted for its key, nonce and statement, also after a way through JSON")
    func accepted() throws {
        let server = try MadeIdentity()
        let document = try server.document(nonce: Self.nonce)
        let read = try AttestationDocument(document.json)
        #expect(read == document)
        let appraisal = try appraise(read, of: server)
        #expect(appraisal.failures == [])
        #expect(appraisal.server?.statement == MadeIdentity.statement)
        let secrets = try server.document(nonce: Self.nonce, purpose: .secrets)
        #expect(try appraise(secrets, of: server, purpose: .secrets).server != nil)
    }

    @Test("A document of another key, for another nonce or purpose, or with another statement is refused")
    func bound() throws {
        let server = try MadeIdentity()
        let document = try server.document(nonce: Self.nonce)
        let other = Array(P256.Signing.PrivateKey().publicKey.derRepresentation)
        let relayed = try appraise(document, of: server, key: other)
        #expect(relayed.failures.map(\.check) == [.channelKey, .reportData])
        let replayed = try appraise(document, of: server, nonce: [UInt8](repeating: 1, count: 32))
        #expect(replayed.failures.map(\.check).contains(.reportData))
        #expect(try appraise(document, of: server, purpose: .secrets).failures.map(\.check) == [.reportData])
        // Who relays may change what is not signed so that it fits.
        let forged = document.saying(nonce: Self.nonce, key: other)
        #expect(try appraise(forged, of: server, key: other).failures.map(\.check) == [.reportData])
        var statement = MadeIdentity.statement
        statement.profiles = ["sealed", "plain"]
        let changed = document.saying(statement: statement.json, nonce: Self.nonce, key: server.publicKey)
        #expect(try appraise(changed, of: server).failures.map(\.check) == [.statement, .reportData])
        #expect(
            try appraise(changed, of: server, policy: #"{"snp": {}}"#).failures.map(\.check) == [.reportData])
        for refused in [relayed, replayed] { #expect(refused.server == nil) }
    }

    @Test(
        "What the policy does not name may not run",
        arguments: [
            (#"{"profiles": ["plain"]}"#, 1), (#"{"workers": []}"#, 2),
            (#"{"workers": ["tcp://worker.example:7070"]}"#, 1),
            (#"{"workers": ["tcp://peer.example:7071"], "peers": ["tcp://worker.example:7070"]}"#, 2),
            (#"{"peers": []}"#, 1), (#"{"models": ["00"]}"#, 1),
            (#"{"revisions": ["abc"]}"#, 1), (#"{"profiles": ["plain"], "revisions": ["abc"]}"#, 2),
            (#"{}"#, 0),
        ])
    func runs(runs: String, count: Int) throws {
        let server = try MadeIdentity()
        let appraisal = try appraise(
            try server.document(nonce: Self.nonce), of: server, policy: #"{"snp": {}, "runs": \#(runs)}"#)
        #expect(appraisal.failures.map(\.check) == Array(repeating: .statement, count: count))
        #expect((appraisal.server == nil) == (count > 0))
        #expect(appraisal.statement == MadeIdentity.statement)
    }

    @Test("Each fault of the evidence keeps its number in a document")
    func evidence() throws {
        var server = try MadeIdentity()
        server.report.changes[0x0a] = [0x0b]  // Debugging is allowed.
        #expect(
            try appraise(server.document(nonce: Self.nonce), of: server).failures.map(\.check) == [.debug])
        server = try MadeIdentity()
        server.report.leaf.to = "20260101000000Z"
        #expect(
            try appraise(server.document(nonce: Self.nonce), of: server).failures.map(\.check)
                == [.certificateExpired])
        server = try MadeIdentity()
        let oldest =
            #"{"snp": {"minimumTCB": {"Milan": {"bootLoader": 9, "tee": 0, "snp": 24, "microcode": 72}}}}"#
        #expect(
            Set(
                try appraise(server.document(nonce: Self.nonce), of: server, policy: oldest).failures.map(
                    \.check))
                == [.tcbTooOld])
    }

    @Test("A certificate carries a document that is accepted without a nonce")
    func certificate() throws {
        let server = try MadeIdentity()
        let document = try AttestationDocument(inCertificate: try server.certificate())
        #expect(document.nonce == ReportData.noNonce)
        #expect(document.statement == MadeIdentity.statement.json)
        let full = AttestationDocument(
            evidence: document.evidence, collateral: try server.report.certificates(),
            statement: document.statement, nonce: document.nonce, key: server.publicKey)
        #expect(try appraise(full, of: server, nonce: ReportData.noNonce).failures == [])
        let plain = try server.report.certificates()[0]
        #expect(throws: Failures.self) { try AttestationDocument(inCertificate: plain) }
    }

    @Test(
        "Documents that are none are refused by one number",
        arguments: [
            "", "{}", "[]", "null", #"{"version": 2}"#,
            #"{"version":1,"evidence":"","collateral":[],"statement":"{}","nonce":"00","keyDigest":"00"}"#,
            #"{"version":1,"version":1,"evidence":"","collateral":[],"statement":"{}","nonce":"","keyDigest":""}"#,
        ])
    func malformed(json: String) {
        #expect(failedChecks { _ = try AttestationDocument(Array(json.utf8)) } == [.documentForm])
    }

    @Test("Statements are refused where they are long, hidden or without a profile")
    func statements() throws {
        var statement = MadeIdentity.statement
        statement.model = String(repeating: "m", count: 1025)
        #expect(failedChecks { _ = try ServerStatement(statement.json) } == [.documentForm])
        statement.model = "a\u{1b}[2J"
        #expect(failedChecks { _ = try ServerStatement(statement.json) } == [.documentForm])
        statement = MadeIdentity.statement
        statement.profiles = []
        #expect(failedChecks { _ = try ServerStatement(statement.json) } == [.documentForm])
        let large = Array(#"{"model":""#.utf8) + [UInt8](repeating: 0x61, count: ServerStatement.limit)
        #expect(failedChecks { _ = try ServerStatement(large) } == [.documentForm])
    }
}

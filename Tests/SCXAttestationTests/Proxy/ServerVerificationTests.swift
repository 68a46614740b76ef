import Crypto
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import SCXAttestation
import SCXProxy
import Testing

/// What is wrong with evidence, and the numbers that say so.
struct EvidenceFault: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let numbers: Set<Int>
    var policy = "{\"snp\": {}}"
    var change: @Sendable (inout MadeAttestation) -> Void = { _ in }

    static let all: [EvidenceFault] = [
        EvidenceFault(testDescription: "expired certificate", numbers: [205]) {
            $0.report.leaf.to = "20260101000000Z"
        },
        EvidenceFault(testDescription: "certificate of tomorrow", numbers: [204]) {
            $0.report.leaf.from = "20260204000000Z"
        },
        EvidenceFault(testDescription: "revoked", numbers: [206]) {
            $0.report.list = MadeList(issuer: "ARK-Test", revoked: [0x10001])
        },
        EvidenceFault(
            testDescription: "revocation list that is missing", numbers: [208],
            policy: #"{"snp": {"revocation": "required"}}"#),
        EvidenceFault(testDescription: "debug mode", numbers: [504]) { $0.report.changes[0x0a] = [0x0b] },
        EvidenceFault(
            testDescription: "older TCB", numbers: [505],
            policy:
                #"{"snp": {"minimumTCB": {"Milan": {"bootLoader": 9, "tee": 0, "snp": 23, "microcode": 73}}}}"#
        ),
        EvidenceFault(
            testDescription: "other measurement", numbers: [503],
            policy: #"{"snp": {"measurements": ["\#(String(repeating: "3f", count: 48))"]}}"#),
        EvidenceFault(testDescription: "other kind of evidence", numbers: [521], policy: #"{"tdx": {}}"#),
        EvidenceFault(
            testDescription: "profile that the policy does not name", numbers: [523],
            policy: #"{"snp": {}, "runs": {"profiles": ["sealed"]}}"#
        ) { $0.statement.profiles = ["sealed", "plain"] },
        EvidenceFault(
            testDescription: "worker that the policy does not name", numbers: [523],
            policy: #"{"snp": {}, "runs": {"workers": []}}"#),
        EvidenceFault(testDescription: "evidence for another purpose", numbers: [501]) {
            $0.purpose = .secrets
        },
    ]
}

/// Verification of servers over real connections of TLS, with evidence of a made chain.
struct ServerVerificationTests {
    /// The checks that fail where a server is verified; none where it is accepted.
    private func verify(
        _ server: MadeServer, _ verifier: ServerVerifier, times: UpstreamTimes = .unhurried
    ) async throws -> Set<Int> {
        let verification = try await UnverifiedConnection(to: server.address, times: times).verified(
            by: verifier)
        switch verification {
        case .accepted(let connection):
            #expect(connection.appraisal.failures.isEmpty)
            return []
        case .refused(let appraisal):
            #expect(!appraisal.failures.isEmpty)
            #expect(appraisal.server == nil)
            return Set(appraisal.failures.map(\.check.number))
        }
    }

    /// Whether a server was sent questions for evidence and not one byte besides.
    private func expectQuestionsAlone(_ server: MadeServer, _ count: Int = 1) throws {
        let question =
            #/GET /\.well-known/scx-attestation\?nonce=[0-9a-f]{64} HTTP/1\.1\r\nhost: localhost:\d+\r\naccept: application/vnd\.swift-scx\.attestation\+json\r\nuser-agent: scx\r\n\r\n/#
        let wire = server.wire
        #expect(wire.replacing(question, with: "").isEmpty, "\(wire)")
        #expect(wire.matches(of: question).count == count)
    }

    @Test("A server with evidence for its key and the question is accepted, and asked for nothing else")
    func accepted() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(attestation.answers())
        let policy = try policy(
            """
            {"snp": {"measurements": ["\(String(repeating: "3e", count: 48))"], "minimumTCB": {"Milan": \
            {"bootLoader": 9, "tee": 0, "snp": 23, "microcode": 72}}}, "runs": {"profiles": ["sealed"], \
            "workers": ["tcp://10.0.0.2:7070"], "models": ["\(attestation.statement.modelDigest)"], "revisions": ["r1"]}}
            """)
        #expect(try await verify(server, try attestation.verifier(policy)) == [])
        #expect(try await verify(server, try attestation.verifier(policy)) == [])
        try expectQuestionsAlone(server, 2)
        let nonces = server.wire.matches(of: #/nonce=([0-9a-f]+)/#).map { String($0.1) }
        #expect(Set(nonces).count == 2, "each question has a nonce of its own")
    }

    @Test("A trust domain of Intel's is accepted, too, with the collateral that the server sends")
    func quotes() async throws {
        let statement = try MadeAttestation().statement.json
        let server = try await MadeServer { request, key in
            guard let nonce = request.nonce else { return .silence }
            var quote = MadeQuote()
            quote.changes[0x208] = ReportData.bytes(.channel, key: key, nonce: nonce, statement: statement)
            let files = try quote.files().map(\.bytes)
            return .answer(
                AttestationDocument(
                    evidence: try quote.quote(), collateral: files, statement: statement, nonce: nonce,
                    key: key
                ).json)
        }
        let now = try time("2026-02-03T12:00:00Z")
        let verifier = ServerVerifier(policy: .standard, roots: MadeQuote().roots, now: { now })
        #expect(try await verify(server, verifier) == [])
    }

    @Test(
        "Evidence that is not what the policy asks for is refused by its number", arguments: EvidenceFault.all
    )
    func refused(_ fault: EvidenceFault) async throws {
        var attestation = try MadeAttestation()
        fault.change(&attestation)
        let server = try await MadeServer(attestation.answers())
        #expect(try await verify(server, try attestation.verifier(policy(fault.policy))) == fault.numbers)
        try expectQuestionsAlone(server)
    }

    @Test("A chain of certificates that ends in another root than the vendors' is refused")
    func roots() async throws {
        let attestation = try MadeAttestation()
        let server = try await MadeServer(attestation.answers())
        #expect(try await verify(server, try attestation.verifier(roots: .vendors)) == [202])
    }

    @Test("A man in the middle without evidence is refused, and so is one who relays that of the real server")
    func manInTheMiddle() async throws {
        let attestation = try MadeAttestation()
        let verifier = try attestation.verifier()
        let real = Array(P256.Signing.PrivateKey().publicKey.derRepresentation)
        let server = try await MadeServer { _, _ in .text("nothing here", status: 404) }
        #expect(try await verify(server, verifier) == [106])
        // He hands the question to the real server, and its answer back.
        server.answer { request, _ in
            guard let nonce = request.nonce else { return .silence }
            return .answer(try attestation.document(key: real, nonce: nonce).json)
        }
        #expect(try await verify(server, verifier) == [501, 522])
        // And says that it is for his key.
        server.answer { request, key in
            guard let nonce = request.nonce else { return .silence }
            let document = try attestation.document(key: real, nonce: nonce)
            return .answer(
                document.saying(nonce: nonce, key: key).json)
        }
        #expect(try await verify(server, verifier) == [501])
        try expectQuestionsAlone(server, 3)
    }

    @Test("A document that answers another question is refused, whatever nonce it names")
    func replayed() async throws {
        let attestation = try MadeAttestation()
        let verifier = try attestation.verifier()
        let old = ReportData.freshNonce()
        let server = try await MadeServer { _, key in
            .answer(try attestation.document(key: key, nonce: old).json)
        }
        #expect(try await verify(server, verifier) == [501])
        server.answer { request, key in
            guard let nonce = request.nonce else { return .silence }
            let document = try attestation.document(key: key, nonce: old)
            return .answer(
                document.saying(nonce: nonce, key: key).json)
        }
        #expect(try await verify(server, verifier) == [501])
    }

    @Test("A statement that the evidence does not bind is refused")
    func statement() async throws {
        var other = try MadeAttestation()
        other.statement.workers = ["tcp://203.0.113.9:7070"]
        let (attestation, swapped) = (try MadeAttestation(), other.statement.json)
        let server = try await MadeServer { request, key in
            guard let nonce = request.nonce else { return .silence }
            let document = try attestation.document(key: key, nonce: nonce)
            return .answer(
                document.saying(statement: swapped, nonce: nonce, key: key).json)
        }
        let verification = try await UnverifiedConnection(to: server.address, times: .unhurried)
            .verified(by: attestation.verifier())
        #expect(verification.appraisal.failures.map(\.check.number) == [501])
        let text = AppraisalReport(
            verification.appraisal, policy: .standard, at: try time("2026-02-03")
        ).text
        #expect(!text.contains("203.0.113.9"), "nobody said this")
        #expect(text.contains("\nfailed        501 reportData: "))
    }

    @Test("A redirect to another place is not followed")
    func redirect() async throws {
        let attestation = try MadeAttestation()
        let other = try await MadeServer(attestation.answers())
        let place = "\(try other.address)\(AttestationDocument.path)"
        let server = try await MadeServer { _, _ in .text("", status: 307, headers: [("location", place)]) }
        #expect(try await verify(server, try attestation.verifier()) == [106])
        #expect(other.opened == 0)
    }

    @Test(
        "What is no document, too large, torn off or no HTTP is refused by a number, and never read to its end"
    )
    func malformed() async throws {
        let attestation = try MadeAttestation()
        let verifier = try attestation.verifier()
        let server = try await MadeServer { _, _ in .silence }
        let large = [UInt8](repeating: UInt8(ascii: " "), count: AttestationDocument.limit + 1)
        let header = "HTTP/1.1 200 OK\r\nx-long: \(String(repeating: "a", count: 200_000))\r\n\r\n"
        let replies: [(MadeServer.Reply, Set<Int>)] = [
            (.text("{}"), [105]), (.text("<html>"), [105]), (.text(""), [105]), (.answer(large), [105]),
            (.torn(Array("{\"version\"".utf8)), [106]), (.bytes(Array("SSH-2.0-server\r\n".utf8)), [106]),
            (.bytes(Array(header.utf8)), [106]), (.text("{}", status: 500), [106]),
        ]
        for (reply, numbers) in replies {
            server.answer { _, _ in reply }
            #expect(try await verify(server, verifier) == numbers, "\(numbers)")
        }
        try expectQuestionsAlone(server, replies.count)
    }

    @Test("A server that never sends its document is not waited for beyond the limit")
    func slow() async throws {
        let server = try await MadeServer { _, _ in .silence }
        var times = UpstreamTimes.unhurried
        times.document = .milliseconds(20)
        #expect(try await verify(server, try MadeAttestation().verifier(), times: times) == [106])
    }

    @Test("What is no TLS 1.3, or nobody, is a fault in one line without a number")
    func faults() async throws {
        func fault(_ address: UpstreamAddress, _ times: UpstreamTimes = .unhurried) async -> String? {
            do throws(UpstreamFault) {
                _ = try await UnverifiedConnection(to: address, times: times)
                return nil
            } catch { return "\(error)" }
        }
        let old = try await MadeServer(newest: .tlsv12) { _, _ in .silence }
        #expect(await fault(try old.address)?.contains("TLS 1.3") == true)
        #expect(old.wire.isEmpty)

        // It takes connections and says nothing.
        let mute = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(mute.localAddress?.port)
        let address = try #require(UpstreamAddress("https://127.0.0.1:\(port)"))
        var times = UpstreamTimes.unhurried
        times.handshake = .milliseconds(20)
        #expect(await fault(address, times)?.contains("in time") == true)
        try await mute.close()
        let refused = try #require(await fault(address))
        #expect(!refused.contains("\n"))
    }

    @Test("Addresses are https alone, without paths or names of users")
    func addresses() throws {
        let good = [
            ("https://Example.org", "https://example.org"), ("https://a:8443/", "https://a:8443"),
            ("https://[::1]:1", "https://[::1]:1"), ("https://127.0.0.1:443", "https://127.0.0.1"),
        ]
        for (text, shown) in good { #expect(UpstreamAddress(text)?.description == shown) }
        let bad = [
            "http://a", "a", "https://", "https://a/v1", "https://a?b", "https://u@a", "https://a:0",
            "https://a:65536",
            "https://a:", "https://a:+1", "https://[a]", "https://[::1", "https://a\r\nb", "https://a:1:2",
            "https://::1",
        ]
        for text in bad { #expect(UpstreamAddress(text) == nil, "\(text)") }
    }
}

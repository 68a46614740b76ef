import Crypto
import Foundation
import Logging
import NIOCore
import SCXAttestation
import SCXProxy

/// What a made server says of itself and has its made processor sign, with what a test may change.
struct MadeAttestation: Sendable {
    var report: MadeReport
    var statement = ServerStatement(
        software: "scx 0.1.0", revision: "r1", model: "ward-3m",
        modelDigest: String(repeating: "ab", count: 32),
        profiles: ["sealed"], workers: ["tcp://10.0.0.2:7070"], peers: [])
    var purpose = ReportData.Purpose.channel

    init() throws { report = try MadeReport() }

    /// The document for a key and a nonce.
    func document(key: [UInt8], nonce: [UInt8]) throws -> AttestationDocument {
        var report = report
        report.changes[0x50] = ReportData.bytes(
            purpose, key: key, nonce: nonce, statement: statement.json)
        var files = try report.certificates()
        if let list = report.list { files.append(try list.encoded(by: .rsa(report.keys.root))) }
        return AttestationDocument(
            evidence: try report.report(), collateral: files, statement: statement.json, nonce: nonce,
            key: key)
    }

    /// Answers questions for evidence with it, for the key of the connection, and hands all else on.
    func answers(
        _ other: @escaping @Sendable (MadeServer.Request) async throws -> MadeServer.Reply = { _ in
            .text("none", status: 404)
        }
    ) -> MadeServer.Answer {
        { request, key in
            guard let nonce = request.nonce else { return try await other(request) }
            return .answer(try document(key: key, nonce: nonce).json)
        }
    }

    /// Verifies by the made root at a fixed time.
    func verifier(_ policy: Policy = .standard, roots: TrustRoots? = nil) throws -> ServerVerifier {
        let now = try time("2026-02-03T12:00:00Z")
        return ServerVerifier(policy: policy, roots: roots ?? report.roots, now: { now })
    }
}

extension UpstreamTimes {
    /// A busy machine is no slow server; tests of time limits set them.
    static var unhurried: Self {
        var times = Self()
        times.connect = .hours(1)
        times.handshake = .hours(1)
        times.document = .hours(1)
        return times
    }
}

/// Hears nothing.
let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Waits until something that must happen has happened.
func eventually(_ holds: @Sendable () async -> Bool) async {
    while await !holds() { try? await Task.sleep(for: .milliseconds(5)) }
}

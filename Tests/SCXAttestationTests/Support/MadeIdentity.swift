import Crypto
import Foundation
import SCXAttestation

/// An attested server that a test made: a key, and evidence for it under a chain of the test's.
struct MadeIdentity {
    static let statement = ServerStatement(
        software: "swift-scx 0.1.0", revision: "abc123", model: "ward-3m",
        modelDigest: String(repeating: "5d", count: 32), profiles: ["sealed"],
        workers: ["tcp://worker.example:7070"], peers: ["tcp://peer.example:7071"])

    var report: MadeReport
    var statement = MadeIdentity.statement
    let key = P256.Signing.PrivateKey()
    var publicKey: [UInt8] { Array(key.publicKey.derRepresentation) }

    init() throws { report = try MadeReport() }

    /// Evidence in answer to a nonce, with the certificates of the chain.
    func document(
        nonce: [UInt8] = ReportData.noNonce, purpose: ReportData.Purpose = .channel
    ) throws -> AttestationDocument {
        var attestation = try MadeAttestation()
        (attestation.report, attestation.statement, attestation.purpose) = (report, statement, purpose)
        return try attestation.document(key: publicKey, nonce: nonce)
    }

    /// Makes evidence as this server's processor does.
    struct Source: EvidenceSource {
        var report: MadeReport

        func evidence(of reportData: [UInt8]) throws(EvidenceError) -> [UInt8] {
            var report = report
            report.changes[0x50] = reportData
            do { return try report.report() } catch { throw EvidenceError("\(error)") }
        }
    }

    var source: Source { Source(report: report) }

    /// A self-signed certificate of the key that carries the document without a nonce.
    func certificate() throws -> [UInt8] {
        let made = MadeCertificate(
            subject: "scx", issuer: "scx", publicKey: publicKey,
            extensions: [
                MadeDER.fileExtension(
                    AttestationDocument.certificateExtension, try document().certificateExtensionValue)
            ])
        return try made.encoded(by: .p256(key))
    }
}

extension AttestationDocument {
    /// The same evidence in a document that says otherwise, as who relays it can make it.
    func saying(statement: [UInt8]? = nil, nonce: [UInt8], key: [UInt8]) -> AttestationDocument {
        AttestationDocument(
            evidence: evidence, collateral: collateral, statement: statement ?? self.statement, nonce: nonce,
            key: key)
    }
}

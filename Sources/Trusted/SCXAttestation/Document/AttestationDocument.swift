import Crypto
import Foundation

/// What an attested server hands out: evidence, what verifies it, and what the server says of itself.
///
/// `/.well-known/scx-attestation?nonce=HEX` answers with it, and the server's certificate carries one without a nonce. It is
/// an object in JSON; binary values are in base 64:
///
/// | field | meaning |
/// | --- | --- |
/// | `version` | 1 |
/// | `evidence` | a SEV-SNP report, with the host's table of certificates behind it where there is one, or a TDX quote |
/// | `collateral` | certificates, revocation lists and Intel's documents, as `scx attestation check --certs` takes them |
/// | `statement` | a ``ServerStatement`` as text in JSON, whose exact bytes the evidence binds |
/// | `nonce` | the nonce that the evidence binds, in base 16 |
/// | `keyDigest` | SHA-256 of the public key that the evidence binds, in base 16 |
/// | `eventLog` | what the firmware measured since the start, where the system has such a log |
///
/// Only evidence and statement are relied on: nonce and key are compared with those of the verifier's own question and
/// connection. The two fields say which of them differs.
package struct AttestationDocument: Equatable, Sendable {
    package let evidence: [UInt8]
    package let collateral: [[UInt8]]
    /// The statement's exact bytes.
    package let statement: [UInt8]
    package let nonce: [UInt8]
    package let keyDigest: [UInt8]
    package let eventLog: [UInt8]?

    /// The largest document that is read, in bytes.
    package static let limit = 4 * 1024 * 1024
    /// Where a server hands it out.
    package static let path: StaticString = "/.well-known/scx-attestation"
    /// Its media type, as it stands in certificates, too.
    package static let mediaType = "application/vnd.swift-scx.attestation+json"

    package init(
        evidence: [UInt8], collateral: [[UInt8]], statement: [UInt8], nonce: [UInt8], key: [UInt8],
        eventLog: [UInt8]? = nil
    ) {
        self.init(
            evidence: evidence, collateral: collateral, statement: statement, nonce: nonce,
            keyDigest: SHA256.hash(data: key).bytes, eventLog: eventLog)
    }

    init(
        evidence: [UInt8], collateral: [[UInt8]], statement: [UInt8], nonce: [UInt8], keyDigest: [UInt8],
        eventLog: [UInt8]? = nil
    ) {
        self.evidence = evidence
        self.collateral = collateral
        self.statement = statement
        self.nonce = nonce
        self.keyDigest = keyDigest
        self.eventLog = eventLog
    }

    // MARK: JSON

    private struct Form: Codable {
        var version: Int
        var evidence: Data
        var collateral: [Data]
        var statement: String
        var nonce: String
        var keyDigest: String
        var eventLog: Data?
    }

    /// Reads a document that somebody sent.
    ///
    /// Fields that are not known are ignored.
    ///
    /// - Throws: ``Check/documentForm``
    package init(_ json: [UInt8]) throws(Failures) {
        guard json.count <= Self.limit else {
            throw Failures(.documentForm, "the document has more than \(Self.limit) bytes")
        }
        let form: Form
        do {
            try PolicySyntax.check(json)
            form = try JSONDecoder().decode(Form.self, from: Data(json))
        } catch {
            throw Failures(.documentForm, "the answer is not a document of attestation")
        }
        guard form.version == 1 else {
            throw Failures(.documentForm, "the document has version \(form.version), which is not known here")
        }
        guard form.collateral.count <= Collateral.countLimit else {
            throw Failures(.documentForm, "the document has more than \(Collateral.countLimit) files")
        }
        guard let nonce = Hex.bytes(form.nonce), nonce.count == ReportData.nonceSize,
            let keyDigest = Hex.bytes(form.keyDigest), keyDigest.count == SHA256.byteCount
        else { throw Failures(.documentForm, "the document's nonce or key digest has not 32 bytes") }
        evidence = Array(form.evidence)
        collateral = form.collateral.map { Array($0) }
        statement = Array(form.statement.utf8)
        self.nonce = nonce
        self.keyDigest = keyDigest
        eventLog = form.eventLog.map { Array($0) }
    }

    /// The document as an object in JSON; the same each time.
    package var json: [UInt8] {
        let form = Form(
            version: 1, evidence: Data(evidence), collateral: collateral.map { Data($0) },
            statement: String(decoding: statement, as: UTF8.self), nonce: Hex.text(nonce),
            keyDigest: Hex.text(keyDigest), eventLog: eventLog.map { Data($0) })
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(form) else {
            preconditionFailure("AttestationDocument: not encodable")
        }
        return Array(data)
    }
}

/// The readers of bytes that somebody else made, each as a function that takes any bytes without a crash.
///
/// Fuzzing calls them. What a reader accepts, it must read again as the same.
package enum AttestationReader: String, CaseIterable, Sendable {
    case evidence, certificate, revocationList, pem, collateral, policy, firmware, seen
    case document, statement, certifiedDocument, secretsRequest

    /// Reads the bytes, and uses what was read as verification does.
    ///
    /// - Throws: The error with which the reader refuses them.
    package func check(_ bytes: [UInt8]) throws {
        switch self {
        case .evidence:
            switch try UnverifiedEvidence(bytes) {
            case .snp(let report, let certificates):
                _ = report.signingKey
                for certificate in certificates { _ = report.isSigned(by: certificate) }
            case .tdx(let quote): _ = quote.certificates.map(\.name)
            }
        case .certificate:
            let certificate = try Certificate(bytes)
            _ = (certificate.name, certificate.authority, certificate.allows(.signature))
            _ = (EndorsementExtensions(certificate), PlatformExtensions(certificate))
            _ = PublicKey(certificate.publicKey)
            precondition(certificate.encoded == bytes, "a certificate was changed")
        case .revocationList: _ = try RevocationList(bytes).revoked.count
        case .pem: _ = try PEM.blocks(bytes)
        case .collateral: _ = try Collateral([.init(name: "input", bytes: bytes)])
        case .policy: _ = try Policy(bytes)
        case .firmware:
            let firmware = try Firmware(bytes)
            // A section may be of many pages; those of a few tell as much.
            guard firmware.sections.allSatisfy({ $0.size <= 1 << 16 }) else { return }
            _ = try LaunchMeasurement(
                firmware: firmware, firmwareDigest: [UInt8](repeating: 0, count: 48), kernel: nil,
                processors: 2,
                processor: ProcessorKind(signature: 0x800f12), features: 1)
        case .document:
            let document = try AttestationDocument(bytes)
            let again = try AttestationDocument(document.json)
            precondition(again == document, "a document was changed")
        case .statement:
            let statement = try ServerStatement(bytes)
            let again = try ServerStatement(statement.json)
            precondition(again == statement, "a statement was changed")
        case .secretsRequest: _ = try SecretsRequest(bytes).json
        case .certifiedDocument: _ = try AttestationDocument(inCertificate: bytes).statement
        case .seen:
            guard let seen = SeenEvidence(text: String(decoding: bytes, as: UTF8.self)) else { return }
            precondition(SeenEvidence(text: seen.text) == seen, "digests were changed")
        }
    }
}

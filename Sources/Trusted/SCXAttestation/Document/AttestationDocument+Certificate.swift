import Foundation
import SwiftASN1

/// A document within a server's certificate, so that every connection shows it.
///
/// It stands in the extension for messages of attestation (RFC 9999, id-pe-cmw): an array of a media type and the document
/// in base64url, as JSON in a UTF8String. It has neither collateral nor a log, which would make every handshake longer.
extension AttestationDocument {
    /// id-pe-cmw.
    package static let certificateExtension: [UInt] = [1, 3, 6, 1, 5, 5, 7, 1, 35]

    /// The extension's value, in DER.
    package var certificateExtensionValue: [UInt8] {
        let short = AttestationDocument(
            evidence: evidence, collateral: [], statement: statement, nonce: nonce, keyDigest: keyDigest)
        let text = Data(short.json).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            .replacing("=", with: "")
        var der = DER.Serializer()
        guard (try? der.serialize(ASN1UTF8String("[\"\(Self.mediaType)\",\"\(text)\"]"))) != nil else {
            preconditionFailure("AttestationDocument: not encodable")
        }
        return der.serializedBytes
    }

    /// Reads the document of a certificate.
    ///
    /// - Parameter certificate: DER.
    /// - Throws: ``Check/documentMissing`` where it has none, ``Check/documentForm`` where it cannot be read.
    package init(inCertificate certificate: [UInt8]) throws(Failures) {
        guard let value = try Certificate(certificate).value(of: Self.certificateExtension) else {
            throw Failures(.documentMissing, "the certificate carries no document of attestation")
        }
        guard let text = try? ASN1UTF8String(derEncoded: value),
            let parts = try? JSONDecoder().decode([String].self, from: Data(String(text).utf8)),
            parts.count >= 2, parts[0] == Self.mediaType
        else {
            throw Failures(
                .documentForm, "the certificate carries another message than a document of attestation")
        }
        let padding = String(repeating: "=", count: (4 - parts[1].utf8.count % 4) % 4)
        let standard = parts[1].replacing("-", with: "+").replacing("_", with: "/") + padding
        guard let json = Data(base64Encoded: standard) else {
            throw Failures(.documentForm, "the certificate's document is not in base64url")
        }
        try self.init(Array(json))
    }
}

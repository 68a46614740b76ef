import Crypto
import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    package import FoundationEssentials
#else
    package import Foundation
#endif

/// What a person needs to know about a certificate.
package struct CertificateSummary: Equatable, Sendable, CustomStringConvertible {
    package let subject: String
    package let names: [String]
    package let start: Date
    package let end: Date
    /// SHA-256 of the whole certificate, as `AB:CD:…`, which two people can compare over the telephone.
    package let fingerprint: String
    /// The certificate itself.
    let der: [UInt8]

    init(der: [UInt8], from path: String) throws(CertificateError) {
        do {
            let certificate = try Certificate(derEncoded: der)
            subject = String(describing: certificate.subject)
            names = try certificate.extensions.subjectAlternativeNames.map { $0.map(Self.text) } ?? []
            start = certificate.notValidBefore
            end = certificate.notValidAfter
        } catch {
            throw CertificateError(path, "holds a damaged certificate")
        }
        let digits = Array("0123456789ABCDEF")
        fingerprint = SHA256.hash(data: der)
            .map { String([digits[Int($0 >> 4)], digits[Int($0 & 15)]]) }
            .joined(separator: ":")
        self.der = der
    }

    private static func text(_ name: GeneralName) -> String {
        switch name {
        case .dnsName(let name): name
        case .ipAddress(let address) where address.bytes.count == 4:
            address.bytes.map { "\($0)" }.joined(separator: ".")
        default: "\(name)"
        }
    }

    package var description: String {
        let now = Date()
        let note = end < now ? " (expired)" : start > now ? " (not valid yet)" : ""
        let names = names.isEmpty ? [] : ["names        \(printable(names.joined(separator: ", ")))"]
        return
            (["subject      \(printable(subject))"] + names
            + [
                "valid        \(start.formatted(.iso8601)) to \(end.formatted(.iso8601))\(note)",
                "fingerprint  \(fingerprint)",
            ]).joined(separator: "\n")
    }
}

/// The text without characters that would move a terminal's cursor, or hide: a certificate is somebody else's.
private func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.filter(\.isVisible)))
}

import Crypto
import SwiftASN1
import X509

#if !Network
    #error("SCXCertificates needs the trait 'Network'; without it, name a product: swift build --product scx")
#endif

#if canImport(FoundationEssentials)
    package import FoundationEssentials
#else
    package import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A private key and its self-signed certificate, both as PEM.
///
/// The key is ECDSA on P-256, which every TLS 1.3 program accepts. It is never printed or described.
package struct KeyPair: Sendable {
    /// The certificate, which others are given to trust.
    package let certificate: String
    /// The private key; package code hands it to TLS, and to nobody else.
    package let key: String

    /// Makes a new key.
    ///
    /// - Parameters:
    ///   - name: Whom the certificate names: 1 to 64 visible characters.
    ///   - hosts: Host names and addresses that the certificate is for, in addition to `name` if that is a host name.
    ///   - days: Days until it expires.
    /// - Throws: ``CertificateError``
    package init(name: String, hosts: [String] = [], days: Int) throws(CertificateError) {
        // It is valid from an hour ago on, for peers whose clock is slow.
        let now = Date()
        try self.init(name: name, hosts: hosts, from: now - 3600, to: now + Double(days) * 86_400)
    }

    /// An extension that a certificate gets for its key, such as evidence that binds the key.
    package struct Extension: Sendable {
        let identifier: [UInt]
        let value: [UInt8]

        /// - Parameters:
        ///   - identifier: The components of the object identifier.
        ///   - value: DER.
        package init(identifier: [UInt], value: [UInt8]) {
            self.identifier = identifier
            self.value = value
        }
    }

    /// Makes a new key with a certificate of any dates.
    ///
    /// - Parameters:
    ///   - name: As above.
    ///   - hosts: As above.
    ///   - start: From when on it is valid.
    ///   - end: Until when it is valid.
    ///   - binding: Makes a further extension for the public key (SubjectPublicKeyInfo, DER).
    /// - Throws: ``CertificateError``, also for what `binding` throws.
    package init(
        name: String, hosts: [String] = [], from start: Date, to end: Date,
        binding: ((_ publicKey: [UInt8]) throws -> Extension)? = nil
    ) throws(CertificateError) {
        guard (1...64).contains(name.unicodeScalars.count), name.unicodeScalars.allSatisfy(\.isVisible) else {
            throw CertificateError("'\(name.prefix(64))'", "a name is 1 to 64 visible characters")
        }
        let names = try ((Self.isHostName(name) ? [name] : []) + hosts).map { host throws(CertificateError) in
            try Self.generalName(host)
        }
        do {
            let key = P256.Signing.PrivateKey()
            // TLS libraries look for a certificate by its subject, so two certificates must not have the same
            // subject.
            let own = SHA256.hash(data: key.publicKey.derRepresentation).prefix(4)
            let subject = try DistinguishedName {
                OrganizationalUnitName(
                    "key " + own.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
                CommonName(name)
            }
            var extensions = try Self.extensions(names)
            if let own = try binding?(Array(key.publicKey.derRepresentation)) {
                let identifier = try ASN1ObjectIdentifier(elements: own.identifier)
                try extensions.append(.init(oid: identifier, critical: false, value: own.value[...]))
            }
            let certificate = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(),
                publicKey: Certificate.PublicKey(key.publicKey), notValidBefore: start, notValidAfter: end,
                issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: extensions, issuerPrivateKey: Certificate.PrivateKey(key))
            self.certificate = try certificate.serializeAsPEM().pemString + "\n"
            self.key = key.pemRepresentation + "\n"
        } catch {
            throw CertificateError("'\(name)'", "cannot make a certificate: \(error)")
        }
    }

    /// Says that the certificate identifies its owner at either end of TLS, and may not sign other certificates.
    ///
    /// There is no key usage among the extensions: with one, TLS libraries would accept a self-signed certificate as
    /// its own root only if it may sign certificates, which this one must not.
    private static func extensions(_ names: [GeneralName]) throws -> Certificate.Extensions {
        try Certificate.Extensions {
            Critical(BasicConstraints.notCertificateAuthority)
            try ExtendedKeyUsage([.serverAuth, .clientAuth])
            if !names.isEmpty { SubjectAlternativeNames(names) }
        }
    }

    /// Whether a text can be a host name or an address in a certificate.
    package static func isHost(_ text: String) -> Bool { (try? generalName(text)) != nil }

    private static func isHostName(_ name: String) -> Bool {
        name.unicodeScalars.allSatisfy { scalar in
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", "-", ".": true
            default: false
            }
        }
    }

    private static func generalName(_ host: String) throws(CertificateError) -> GeneralName {
        var address = [UInt8](repeating: 0, count: 16)
        for (family, size) in [(AF_INET, 4), (AF_INET6, 16)]
        where unsafe inet_pton(family, host, &address) == 1 {
            return .ipAddress(ASN1OctetString(contentBytes: address[..<size]))
        }
        guard isHostName(host), (1...253).contains(host.utf8.count) else {
            throw CertificateError("'\(host.prefix(64))'", "is neither a host name nor an address")
        }
        return .dnsName(host)
    }
}

extension Unicode.Scalar {
    /// Whether it is seen, so that nothing hides in a name.
    var isVisible: Bool {
        let hidden: [Unicode.GeneralCategory] = [.control, .format, .lineSeparator, .paragraphSeparator]
        return !hidden.contains(properties.generalCategory)
    }
}

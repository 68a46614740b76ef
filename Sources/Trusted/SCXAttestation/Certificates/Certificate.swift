import Crypto
import SwiftASN1

/// An X.509 certificate as it was read; nothing in it is verified.
///
/// swift-certificates knows no RSASSA-PSS, with which AMD signs, so that the structure is read here (RFC 5280, section
/// 4.1). Serial numbers may be zero, as AMD's are. What is compared is compared as encoded: names, keys and algorithms.
package struct Certificate: Hashable, Sendable {
    /// The largest certificate that is read, in bytes; those of attested servers carry evidence.
    static let limit = 48 * 1024

    /// The whole certificate in DER.
    package let encoded: [UInt8]
    /// What the signature covers: the `tbsCertificate` in DER.
    let signed: [UInt8]
    let serialNumber: [UInt8]
    let issuer: [UInt8]
    let subject: [UInt8]
    let notBefore: Instant
    let notAfter: Instant
    /// The `SubjectPublicKeyInfo` in DER.
    let publicKey: [UInt8]
    let algorithm: SignatureAlgorithm
    let signature: [UInt8]
    private let extensions: [Extension]

    private struct Extension: Hashable {
        let identifier: [UInt]
        let isCritical: Bool
        let value: [UInt8]
    }

    /// Reads one certificate in DER.
    ///
    /// - Throws: ``Check/certificateForm`` for anything else, and for algorithms that neither AMD nor Intel uses.
    package init(_ encoded: [UInt8]) throws(Failures) {
        do {
            self = try SignedFields.read(encoded, limit: Self.limit) { fields, envelope in
                try Self(fields: &fields, envelope, encoded: encoded)
            }
        } catch {
            let reason = (error as? FormError)?.reason ?? "it is not a certificate in DER"
            throw Failures(.certificateForm, "a certificate cannot be read: \(reason)")
        }
    }

    private init(
        fields: inout ASN1NodeCollection.Iterator, _ envelope: SignedFields, encoded: [UInt8]
    ) throws {
        let version = try DER.explicitlyTagged(&fields, tagNumber: 0, tagClass: .contextSpecific) {
            try Int(derEncoded: $0)
        }
        guard version == 2 else { throw FormError("its version is not 3") }
        serialNumber = try Array(ArraySlice<UInt8>(derEncoded: &fields))
        guard let algorithm = fields.next(), let issuer = fields.next(), let validity = fields.next(),
            let subject = fields.next(), let publicKey = fields.next()
        else { throw FormError("fields are missing") }
        self.algorithm = try envelope.algorithm(algorithm)
        self.issuer = Array(issuer.encodedBytes)
        self.subject = Array(subject.encodedBytes)
        self.publicKey = Array(publicKey.encodedBytes)
        (notBefore, notAfter) = try DER.sequence(validity, identifier: .sequence) { times in
            (try Instant(derEncoded: times.next()), try Instant(derEncoded: times.next()))
        }
        extensions = try DER.explicitlyTagged(&fields, tagNumber: 3, tagClass: .contextSpecific) { node in
            try Self.extensions(node)
        }
        guard Set(extensions.map(\.identifier)).count == extensions.count else {
            throw FormError("it has an extension twice")
        }
        self.encoded = encoded
        signed = envelope.content
        signature = envelope.signature
    }

    private static func extensions(_ node: ASN1Node) throws -> [Extension] {
        try DER.sequence(node, identifier: .sequence) { nodes in
            var extensions: [Extension] = []
            while let node = nodes.next() {
                let read = try DER.sequence(node, identifier: .sequence) { parts in
                    let identifier = try ASN1ObjectIdentifier(derEncoded: &parts)
                    let isCritical = try DER.decodeDefault(&parts, defaultValue: false)
                    let value = try ASN1OctetString(derEncoded: &parts)
                    return Extension(
                        identifier: Array(identifier.oidComponents), isCritical: isCritical,
                        value: Array(value.bytes))
                }
                extensions.append(read)
            }
            return extensions
        }
    }

    // MARK: What it says

    /// The value of an extension, without the octet string around it.
    func value(of identifier: [UInt]) -> [UInt8]? {
        extensions.first { $0.identifier == identifier }?.value
    }

    /// Extensions that a reader must understand, and that are not understood here.
    var hasUnknownCriticalExtension: Bool {
        extensions.contains {
            $0.isCritical && $0.identifier != [2, 5, 29, 15] && $0.identifier != [2, 5, 29, 19]
        }
    }

    /// Basic constraints (RFC 5280, section 4.2.1.9): whether it may issue, and how many issuers may stand below it.
    var authority: (isAuthority: Bool, pathLength: Int?)? {
        guard let value = value(of: [2, 5, 29, 19]) else { return (false, nil) }
        return try? DER.sequence(DER.parse(value), identifier: .sequence) { parts in
            let isAuthority = try DER.decodeDefault(&parts, defaultValue: false)
            guard let node = parts.next() else { return (isAuthority, nil) }
            let length = try Int(derEncoded: node)
            guard length >= 0 else { throw FormError("a negative path length") }
            return (isAuthority, length)
        }
    }

    /// What its key may do (RFC 5280, section 4.2.1.3); all where it does not say.
    func allows(_ use: KeyUse) -> Bool {
        guard let value = value(of: [2, 5, 29, 15]) else { return true }
        guard let bits = try? ASN1BitString(derEncoded: value), let first = bits.bytes.first else {
            return false
        }
        return first & (0x80 >> use.rawValue) != 0
    }

    /// Bits of the key usage extension.
    enum KeyUse: UInt8 { case signature = 0, certificates = 5, revocationLists = 6 }

    /// The common name of its subject, cut to what a line can show.
    package var name: String { commonName(of: subject) }

    /// SHA-256 of the public key with its algorithm, which is how roots are known here.
    package var publicKeyDigest: [UInt8] { Array(SHA256.hash(data: publicKey)) }
}

/// The common name in a distinguished name, of printable ASCII alone and of at most 64 characters.
func commonName(of name: [UInt8]) -> String {
    let found = try? DER.sequence(DER.parse(name), identifier: .sequence) { sets in
        var found: String?
        while let set = sets.next() {
            try DER.set(set, identifier: .set) { pairs in
                while let pair = pairs.next() {
                    try DER.sequence(pair, identifier: .sequence) { parts in
                        let identifier = try ASN1ObjectIdentifier(derEncoded: &parts)
                        guard let value = parts.next() else { return }
                        guard identifier.oidComponents == [2, 5, 4, 3],
                            case .primitive(let text) = value.content
                        else { return }
                        let shown = text.prefix(64).map {
                            (0x20..<0x7f).contains($0) ? $0 : UInt8(ascii: "?")
                        }
                        found = String(decoding: shown, as: UTF8.self)
                    }
                }
            }
        }
        return found
    }
    return found.flatMap { $0 } ?? "without a name"
}

extension Instant {
    /// Reads a `Time` of RFC 5280: UTCTime or GeneralizedTime.
    init(derEncoded node: ASN1Node?) throws {
        guard let node else { throw FormError("a time is missing") }
        let read: Instant?
        if node.identifier == .utcTime {
            let time = try UTCTime(derEncoded: node)
            read = Instant(
                year: time.year, month: time.month, day: time.day, hour: time.hours, minute: time.minutes,
                second: time.seconds)
        } else {
            let time = try GeneralizedTime(derEncoded: node)
            read = Instant(
                year: time.year, month: time.month, day: time.day, hour: time.hours, minute: time.minutes,
                second: time.seconds)
        }
        guard let read else { throw FormError("a time is none") }
        self = read
    }
}

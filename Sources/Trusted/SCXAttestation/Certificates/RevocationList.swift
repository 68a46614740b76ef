import SwiftASN1

/// A certificate revocation list (RFC 5280, section 5.1) as it was read; nothing in it is verified.
package struct RevocationList: Hashable, Sendable {
    /// The largest list that is read, in bytes.
    static let limit = 1024 * 1024

    let signed: [UInt8]
    let issuer: [UInt8]
    let thisUpdate: Instant
    let nextUpdate: Instant
    /// Serial numbers as encoded.
    package let revoked: Set<[UInt8]>
    let algorithm: SignatureAlgorithm
    let signature: [UInt8]

    /// Reads one list in DER.
    ///
    /// - Throws: ``Check/revocationListForm`` for anything else, and for lists that hold for some certificates of an issuer
    ///   alone.
    package init(_ encoded: [UInt8]) throws(Failures) {
        do {
            self = try SignedFields.read(encoded, limit: Self.limit) { fields, envelope in
                try Self(fields: &fields, envelope)
            }
        } catch {
            let reason = (error as? FormError)?.reason ?? "it is not a list in DER"
            throw Failures(.revocationListForm, "a revocation list cannot be read: \(reason)")
        }
    }

    private init(fields: inout ASN1NodeCollection.Iterator, _ envelope: SignedFields) throws {
        guard try Int(derEncoded: &fields) == 1 else { throw FormError("its version is not 2") }
        guard let algorithm = fields.next(), let issuer = fields.next() else {
            throw FormError("fields are missing")
        }
        self.algorithm = try envelope.algorithm(algorithm)
        self.issuer = Array(issuer.encodedBytes)
        thisUpdate = try Instant(derEncoded: fields.next())
        nextUpdate = try Instant(derEncoded: fields.next())
        var rest = fields.next()
        if let list = rest, list.identifier == .sequence {
            revoked = try Self.serialNumbers(list)
            rest = fields.next()
        } else {
            revoked = []
        }
        if let node = rest { try Self.checkExtensions(node) }
        signed = envelope.content
        signature = envelope.signature
    }

    private static func serialNumbers(_ node: ASN1Node) throws -> Set<[UInt8]> {
        try DER.sequence(node, identifier: .sequence) { entries in
            var numbers: Set<[UInt8]> = []
            while let entry = entries.next() {
                try DER.sequence(entry, identifier: .sequence) { parts in
                    numbers.insert(try Array(ArraySlice<UInt8>(derEncoded: &parts)))
                    _ = try Instant(derEncoded: parts.next())
                    if let extensions = parts.next() { try checkCritical(extensions) }
                }
            }
            return numbers
        }
    }

    private static func checkExtensions(_ node: ASN1Node) throws {
        guard node.identifier == ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific),
            case .constructed(let inner) = node.content
        else { throw FormError("an unknown field follows") }
        for extensions in inner { try checkCritical(extensions) }
    }

    /// Refuses what a reader must understand and is not understood here, and lists for a part of the certificates (a delta, or
    /// one with an issuing distribution point) whether they are marked so or not.
    private static func checkCritical(_ node: ASN1Node) throws {
        try DER.sequence(node, identifier: .sequence) { extensions in
            while let node = extensions.next() {
                try DER.sequence(node, identifier: .sequence) { parts in
                    let identifier = Array(try ASN1ObjectIdentifier(derEncoded: &parts).oidComponents)
                    let isCritical = try DER.decodeDefault(&parts, defaultValue: false)
                    _ = try ASN1OctetString(derEncoded: &parts)
                    guard !isCritical else { throw FormError("it has an unknown critical extension") }
                    guard identifier != [2, 5, 29, 27], identifier != [2, 5, 29, 28] else {
                        throw FormError("it is for a part of its issuer's certificates")
                    }
                }
            }
        }
    }
}

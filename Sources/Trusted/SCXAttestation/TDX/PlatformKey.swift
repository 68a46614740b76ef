import SwiftASN1

/// What Intel's certificate says of a platform: the extension 1.2.840.113741.1.13.1 of a PCK certificate.
struct PlatformExtensions: Equatable, Sendable {
    /// Security versions of the 16 components of the platform.
    let components: [UInt8]
    let pceSVN: UInt16
    let pceID: [UInt8]
    let fmspc: [UInt8]

    private static let prefix: [UInt] = [1, 2, 840, 113741, 1, 13, 1]

    /// - Returns: Nil where the certificate has no such extension, or an incomplete one.
    init?(_ certificate: Certificate) {
        guard let value = certificate.value(of: Self.prefix) else { return nil }
        var components = [UInt8](repeating: 0, count: 16)
        var found = 0
        var pceSVN: UInt16?
        var pceID: [UInt8]?
        var fmspc: [UInt8]?
        let read: Void? = try? Self.pairs(DER.parse(value)) { identifier, node in
            guard identifier.starts(with: Self.prefix) else { return }
            switch Array(identifier.dropFirst(Self.prefix.count)) {
            case [2]:
                try Self.pairs(node) { identifier, node in
                    guard identifier.starts(with: Self.prefix + [2]), let part = identifier.last else {
                        return
                    }
                    switch part {
                    case 1...16:
                        guard let svn = UInt8(exactly: try Int(derEncoded: node)) else {
                            throw FormError("an SVN")
                        }
                        components[Int(part) - 1] = svn
                        found += 1
                    case 17: pceSVN = UInt16(exactly: try Int(derEncoded: node))
                    default: break
                    }
                }
            case [3]: pceID = Array(try ASN1OctetString(derEncoded: node).bytes)
            case [4]: fmspc = Array(try ASN1OctetString(derEncoded: node).bytes)
            default: break
            }
        }
        guard read != nil, found == 16, let pceSVN, let pceID, let fmspc, fmspc.count == 6 else { return nil }
        self.components = components
        self.pceSVN = pceSVN
        self.pceID = pceID
        self.fmspc = fmspc
    }

    /// Reads a sequence of pairs of an identifier and a value.
    private static func pairs(_ node: ASN1Node, _ read: ([UInt], ASN1Node) throws -> Void) throws {
        try DER.sequence(node, identifier: .sequence) { nodes in
            while let node = nodes.next() {
                try DER.sequence(node, identifier: .sequence) { parts in
                    let identifier = try ASN1ObjectIdentifier(derEncoded: &parts)
                    guard let value = parts.next() else { throw FormError("a pair without a value") }
                    try read(Array(identifier.oidComponents), value)
                }
            }
        }
    }
}

/// A platform's key (PCK), whose chain to Intel's root is verified, and with which quoting enclaves are verified.
package struct PlatformKey: Sendable {
    let key: PublicKey
    let platform: PlatformExtensions
    /// The leaf, the intermediate and the root.
    package let chain: [Certificate]
    /// The names of issuers in the chain of which no revocation list was there.
    package let unlisted: [String]

    /// Verifies the chain above a PCK certificate.
    ///
    /// - Parameters:
    ///   - leaf: The certificate of the key.
    ///   - files: Other certificates, and revocation lists.
    ///   - roots: The root keys that are trusted.
    ///   - at: The time at which everything must be valid.
    ///   - revocation: Whether the revocation lists of the root and of the intermediate must be there.
    /// - Throws: All checks of certificates that do not hold.
    package init(
        _ leaf: Certificate, with files: Collateral, roots: TrustRoots = .vendors, at: Instant,
        revocation: RevocationRule
    ) throws(Failures) {
        var failures = FailureList()
        let store = CertificateStore(certificates: files.certificates, lists: files.lists, at: at)
        let isRequired = revocation == .required
        chain = store.chain(
            above: leaf, to: [roots.intel], listsFor: (leaf: isRequired, issuers: isRequired), into: &failures
        )
        try failures.end()
        guard let platform = PlatformExtensions(leaf), let key = PublicKey(leaf.publicKey), case .p256 = key
        else {
            throw Failures(.certificateUse, "the certificate '\(leaf.name)' is not for a platform's key")
        }
        unlisted = store.unlisted(chain.dropFirst())
        self.platform = platform
        self.key = key
    }
}

import SwiftASN1

/// What a certificate of AMD says of the key that signs reports; nothing of it is verified (document 57230, table 8).
struct EndorsementExtensions {
    let kind: SigningKey
    /// 64 bytes, 8 on Turin; nil in a VLEK's.
    let chip: [UInt8]?
    private let levels: [UInt: UInt8]

    /// - Returns: Nil where the certificate is not AMD's for such a key.
    init?(_ certificate: Certificate) {
        let prefix: [UInt] = [1, 3, 6, 1, 4, 1, 3704, 1]
        guard certificate.value(of: prefix + [1]) != nil else { return nil }
        var levels: [UInt: UInt8] = [:]
        for part: UInt in 1...9 {
            guard let value = certificate.value(of: prefix + [3, part]) else { continue }
            guard let level = try? Int(derEncoded: value), let level = UInt8(exactly: level) else {
                return nil
            }
            levels[part] = level
        }
        self.levels = levels
        chip = certificate.value(of: prefix + [4])
        kind = certificate.value(of: prefix + [5]) == nil ? .vcek : .vlek
        guard (chip != nil) == (kind == .vcek) else { return nil }
    }

    func tcb(of product: Product) -> TCBVersion? {
        guard let bootLoader = levels[1], let tee = levels[2], let snp = levels[3], let microcode = levels[8]
        else { return nil }
        if product == .turin {
            guard let fmc = levels[9] else { return nil }
            return TCBVersion(fmc: fmc, bootLoader: bootLoader, tee: tee, snp: snp, microcode: microcode)
        }
        return TCBVersion(bootLoader: bootLoader, tee: tee, snp: snp, microcode: microcode)
    }
}

/// A key that signs reports, whose chain to a root of AMD is verified.
///
/// Making one verifies the chain; many reports can then be verified with it.
package struct EndorsementKey: Sendable {
    package let product: Product
    package let kind: SigningKey
    /// The TCB version for which AMD derived the key.
    package let tcb: TCBVersion
    let chip: [UInt8]?
    /// The chip's identity with zeros up to the 64 bytes of a report; nil for a VLEK.
    var paddedChip: [UInt8]? { chip.map { $0 + [UInt8](repeating: 0, count: 64 - $0.count) } }
    let key: PublicKey
    /// The leaf, the intermediate (ASK or ASVK) and the root (ARK).
    package let chain: [Certificate]
    /// The root's name where no revocation list of it was there; AMD issues none of the intermediate's.
    package let unlisted: [String]

    /// Verifies the chain above a certificate.
    ///
    /// - Parameters:
    ///   - leaf: The certificate of the key.
    ///   - files: Other certificates, and revocation lists.
    ///   - roots: The root keys that are trusted.
    ///   - at: The time at which everything must be valid.
    ///   - revocation: Whether the root's revocation list must be there.
    /// - Throws: All checks of certificates that do not hold.
    package init(
        _ leaf: Certificate, with files: Collateral, roots: TrustRoots = .vendors, at: Instant,
        revocation: RevocationRule = .whenGiven
    ) throws(Failures) {
        var failures = FailureList()
        let store = CertificateStore(certificates: files.certificates, lists: files.lists, at: at)
        let chain = store.chain(
            above: leaf, to: Array(roots.amd.values),
            listsFor: (leaf: false, issuers: revocation == .required),
            into: &failures)
        try failures.end()
        guard let root = chain.last,
            let product = roots.amd.first(where: { $0.value == root.publicKeyDigest })?.key,
            let extensions = EndorsementExtensions(leaf), let tcb = extensions.tcb(of: product),
            extensions.chip.map({ $0.count == product.chipIdentityCount }) ?? true,
            let key = PublicKey(leaf.publicKey), case .p384 = key
        else {
            throw Failures(
                .certificateUse, "the certificate '\(leaf.name)' is not for a key that signs reports")
        }
        unlisted = store.unlisted([root])
        self.product = product
        kind = extensions.kind
        self.tcb = tcb
        chip = extensions.chip
        self.key = key
        self.chain = chain
    }
}

/// For which certificates of a chain a revocation list must be there.
package enum RevocationRule: String, Decodable, Sendable {
    /// For none; a list that is there is used.
    case whenGiven
    /// For every certificate but the root, and for AMD every one but the chip's, for which AMD issues no lists.
    case required
}

/// Certificates and lists from files, from which chains are built.
struct CertificateStore {
    let certificates: [Certificate]
    let lists: [RevocationList]
    let at: Instant

    /// The most certificates of a chain; AMD's and Intel's have three.
    private static let limit = 4

    /// Builds and checks the chain above a certificate.
    ///
    /// - Parameters:
    ///   - leaf: The certificate whose key signed something.
    ///   - roots: Digests of the keys at which a chain may end.
    ///   - listsFor: Whether a revocation list must be there for the leaf and for issuers.
    ///   - failures: Gets what does not hold.
    /// - Returns: The certificates, beginning with the leaf. They count only where no failure was added.
    func chain(
        above leaf: Certificate, to roots: [[UInt8]], listsFor: (leaf: Bool, issuers: Bool),
        into failures: inout FailureList
    ) -> [Certificate] {
        var chain = [leaf]
        var current = leaf
        checkDates(leaf, &failures)
        failures.require(
            !leaf.hasUnknownCriticalExtension && leaf.allows(.signature), .certificateUse,
            "the certificate '\(leaf.name)' is not for signatures")
        while current.issuer != current.subject {
            let issuers = certificates.filter { $0.subject == current.issuer && $0 != current }
            guard chain.count < Self.limit, let first = issuers.first else {
                failures.add(
                    .certificateMissing,
                    "the certificate '\(commonName(of: current.issuer))', which issued '\(current.name)', is not there"
                )
                return chain
            }
            let signers = issuers.filter { Self.signed(current, by: $0) }
            let issuer = signers.first { $0.notBefore <= at && at <= $0.notAfter } ?? signers.first ?? first
            failures.require(
                !signers.isEmpty, .certificateSignature,
                "the certificate '\(current.name)' is not signed by '\(issuer.name)'")
            checkDates(issuer, &failures)
            checkIssuer(issuer, below: chain.count - 1, &failures)
            checkRevocation(
                current, issuer, mustBeListed: chain.count == 1 ? listsFor.leaf : listsFor.issuers, &failures)
            chain.append(issuer)
            current = issuer
        }
        failures.require(
            Self.signed(current, by: current), .certificateSignature,
            "the root '\(current.name)' is not signed by itself")
        failures.require(
            roots.contains(current.publicKeyDigest) && chain.count > 1, .rootUnknown,
            "the chain ends in '\(current.name)', whose key is not a root that is trusted here")
        return chain
    }

    /// The list that holds for an issuer at this time: the newest that is not of the future, else the oldest.
    ///
    /// One that the issuer did not sign is taken only where no other is there.
    private func list(of issuer: Certificate) -> RevocationList? {
        let ofIssuer = lists.filter { $0.issuer == issuer.subject }
        let signed = ofIssuer.filter { Self.signed($0, by: issuer) }
        let sorted = (signed.isEmpty ? ofIssuer : signed).sorted { $0.thisUpdate > $1.thisUpdate }
        return sorted.first { $0.thisUpdate <= at } ?? sorted.last
    }

    /// The names of those issuers in a chain of which no revocation list is there.
    func unlisted(_ chain: some Sequence<Certificate>) -> [String] {
        chain.filter { list(of: $0) == nil }.map(\.name)
    }

    private func checkRevocation(
        _ certificate: Certificate, _ issuer: Certificate, mustBeListed: Bool, _ failures: inout FailureList
    ) {
        let name = issuer.name
        guard let list = list(of: issuer) else {
            failures.require(
                !mustBeListed, .revocationListMissing,
                "no revocation list of '\(name)' is there, which issued '\(certificate.name)'")
            return
        }
        failures.require(
            Self.signed(list, by: issuer) && issuer.allows(.revocationLists), .revocationListSignature,
            "the revocation list of '\(name)' is not signed by it")
        failures.require(
            list.thisUpdate <= at, .revocationListNotYetValid,
            "the revocation list of '\(name)' begins on \(list.thisUpdate)")
        failures.require(
            at <= list.nextUpdate, .revocationListExpired,
            "the revocation list of '\(name)' ended on \(list.nextUpdate)")
        failures.require(
            !list.revoked.contains(certificate.serialNumber), .certificateRevoked,
            "the certificate '\(certificate.name)' was revoked by '\(name)'")
    }

    private func checkDates(_ certificate: Certificate, _ failures: inout FailureList) {
        failures.require(
            certificate.notBefore <= at, .certificateNotYetValid,
            "the certificate '\(certificate.name)' begins on \(certificate.notBefore)")
        failures.require(
            at <= certificate.notAfter, .certificateExpired,
            "the certificate '\(certificate.name)' ended on \(certificate.notAfter)")
    }

    private func checkIssuer(_ issuer: Certificate, below: Int, _ failures: inout FailureList) {
        let authority = issuer.authority
        let mayIssue =
            authority?.isAuthority == true && below <= authority?.pathLength ?? .max
            && issuer.allows(.certificates) && !issuer.hasUnknownCriticalExtension
        failures.require(
            mayIssue, .certificateUse, "the certificate '\(issuer.name)' may not issue the one below it")
    }

    private static func signed(_ list: RevocationList, by issuer: Certificate) -> Bool {
        PublicKey(issuer.publicKey)?.signed(list.signed, list.signature, by: list.algorithm) ?? false
    }

    private static func signed(_ certificate: Certificate, by issuer: Certificate) -> Bool {
        PublicKey(issuer.publicKey)?
            .signed(certificate.signed, certificate.signature, by: certificate.algorithm) ?? false
    }
}

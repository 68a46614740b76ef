/// Evidence that is signed, is what the policy asks for, and was not seen before.
package struct AcceptedEvidence: Sendable {
    package let evidence: VerifiedEvidence

    fileprivate init(_ evidence: VerifiedEvidence) { self.evidence = evidence }
}

/// What became of a piece of evidence.
package struct Appraisal: Sendable {
    /// All checks that did not hold.
    package let failures: [Failure]
    /// The evidence where its signatures hold, whatever the policy says of it.
    package let verified: VerifiedEvidence?
    /// The evidence where everything holds.
    package let accepted: AcceptedEvidence?

    /// Decides over evidence: verifies its signatures and those of all that it rests on, then compares it with a policy.
    ///
    /// - Parameters:
    ///   - bytes: A SEV-SNP report, alone or with a table of certificates, or a TDX quote.
    ///   - files: Certificates, revocation lists and Intel's collateral.
    ///   - policy: What the evidence must say.
    ///   - roots: The root keys that are trusted.
    ///   - at: The time at which everything must be valid.
    ///   - seen: What was accepted before; gets this evidence where it is accepted.
    package init(
        _ bytes: [UInt8], with files: Collateral, policy: Policy = .standard, roots: TrustRoots = .vendors,
        at: Instant, seen: inout SeenEvidence
    ) {
        do throws(Failures) {
            let verified: VerifiedEvidence
            switch try UnverifiedEvidence(bytes) {
            case .snp(let report, let certificates):
                verified = .snp(
                    try Self.verify(report, files.adding(certificates), policy, roots, at))
            case .tdx(let quote): verified = .tdx(try Self.verify(quote, files, policy, roots, at))
            }
            var failures = FailureList()
            switch verified {
            case .snp(let report): policy.check(report, &failures)
            case .tdx(let quote): policy.check(quote, &failures)
            }
            failures.require(
                !seen.contains(verified.digest), .replayed, "the same evidence was accepted before")
            if failures.all.isEmpty {
                failures.require(
                    seen.insert(verified.digest), .replayed, "no more evidence can be remembered")
            }
            self.failures = failures.all
            self.verified = verified
            accepted = failures.all.isEmpty ? AcceptedEvidence(verified) : nil
        } catch {
            failures = error.all
            verified = nil
            accepted = nil
        }
    }

    private static func verify(
        _ report: UnverifiedReport, _ files: Collateral, _ policy: Policy, _ roots: TrustRoots, _ at: Instant
    ) throws(Failures) -> VerifiedReport {
        let leaves = files.certificates.filter { EndorsementExtensions($0) != nil }
        // AMD may have certified one key several times.
        let signers = leaves.filter { report.isSigned(by: $0) }
        let valid = signers.first { $0.notBefore <= at && at <= $0.notAfter }
        guard let leaf = valid ?? signers.first ?? leaves.first else {
            throw Failures(
                .certificateMissing, "no certificate of a key that signs reports (VCEK or VLEK) is there")
        }
        let rule = policy.snp?.revocation ?? .whenGiven
        return try report.verified(
            by: EndorsementKey(leaf, with: files, roots: roots, at: at, revocation: rule))
    }

    private static func verify(
        _ quote: UnverifiedQuote, _ files: Collateral, _ policy: Policy, _ roots: TrustRoots, _ at: Instant
    ) throws(Failures) -> VerifiedQuote {
        guard let leaf = quote.certificates.first else {
            throw Failures(.certificateMissing, "the quote holds no certificate of its platform")
        }
        let files = files.adding(quote.certificates)
        let rule = policy.tdx?.revocation ?? .required
        let key: PlatformKey
        do { key = try PlatformKey(leaf, with: files, roots: roots, at: at, revocation: rule) } catch {
            // What else is wrong with the collateral is worth a line, too.
            var failures = FailureList()
            failures.add(error)
            if let platform = PlatformExtensions(leaf), files.hasDocuments {
                _ = CollateralVerifier(files: files, roots: roots, at: at, revocation: rule)
                    .documents(of: platform, &failures)
            }
            throw Failures(failures.all)
        }
        return try quote.verified(by: key, with: files, roots: roots, at: at, revocation: rule)
    }
}

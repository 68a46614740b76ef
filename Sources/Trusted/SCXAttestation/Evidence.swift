import Crypto

/// Evidence that somebody handed over, of either kind.
package enum UnverifiedEvidence: Sendable {
    /// A SEV-SNP report, with the certificates that stood behind it.
    case snp(UnverifiedReport, [Certificate])
    case tdx(UnverifiedQuote)

    /// The largest file that is read, in bytes.
    package static let limit = 64 * 1024

    /// Reads a report, a report with a table of certificates as guests get it from the host, or a quote.
    ///
    /// - Throws: ``Check/evidenceForm`` where it is none of them.
    package init(_ bytes: [UInt8]) throws(Failures) {
        guard bytes.count <= Self.limit else {
            throw Failures(.evidenceForm, "the evidence has more than \(Self.limit) bytes")
        }
        // The versions of reports fill four bytes, those of quotes two, of which another two follow that are not zero.
        let isReport = bytes.count >= 4 && bytes[2] == 0 && bytes[3] == 0
        guard isReport else {
            self = .tdx(try UnverifiedQuote(bytes))
            return
        }
        let size = min(bytes.count, ReportContents.size)
        let report = try UnverifiedReport(Array(bytes[..<size]))
        self = .snp(report, try CertificateTable.certificates(Array(bytes[size...])))
    }
}

/// Evidence whose signatures hold, of either kind.
package enum VerifiedEvidence: Sendable {
    case snp(VerifiedReport)
    case tdx(VerifiedQuote)

    /// SHA-256 of what is signed, by which a repetition is known; a signature could be written in two ways.
    package var digest: [UInt8] {
        switch self {
        case .snp(let report): Array(SHA256.hash(data: report.contents.signed))
        case .tdx(let quote): Array(SHA256.hash(data: quote.signed))
        }
    }

    /// The launch measurement, of 48 bytes.
    package var measurement: [UInt8] {
        switch self {
        case .snp(let report): report.measurement
        case .tdx(let quote): quote.measurement
        }
    }
}

/// Evidence that is signed, is what the policy asks for, and was not seen before.
package struct AcceptedEvidence: Sendable {
    package let evidence: VerifiedEvidence

    fileprivate init(_ evidence: VerifiedEvidence) { self.evidence = evidence }
}

/// Digests of evidence that was accepted before, so that none is accepted twice.
///
/// A fresh nonce in the report data says that evidence was made for this question; this says so where one nonce would be
/// used for several.
package struct SeenEvidence: Equatable, Sendable {
    /// In the order in which they were accepted.
    package private(set) var digests: [[UInt8]] = []
    private var known: Set<[UInt8]> = []

    /// The most digests that are kept; a set that is full accepts nothing more.
    package static let limit = 65_536

    package init() {}

    /// Reads a digest in base 16 from each line.
    ///
    /// - Returns: Nil where a line holds anything else, or there are too many.
    package init?(text: String) {
        for line in text.split(separator: "\n") {
            guard let digest = Hex.bytes(String(line)), digest.count == 32, insert(digest) else { return nil }
        }
    }

    /// One line for each digest.
    package var text: String { digests.map { Hex.text($0) + "\n" }.joined() }

    /// Remembers a digest.
    ///
    /// - Returns: False where it was there, or the set is full.
    package mutating func insert(_ digest: [UInt8]) -> Bool {
        guard digests.count < Self.limit, known.insert(digest).inserted else { return false }
        digests.append(digest)
        return true
    }

    package func contains(_ digest: [UInt8]) -> Bool { known.contains(digest) }
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
        guard let leaf = leaves.first(where: { report.isSigned(by: $0) }) ?? leaves.first else {
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

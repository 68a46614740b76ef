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

    /// SHA-256 by which a repetition is known: of what is signed, because a signature can be written in two ways, and for TDX
    /// of the trust domain's report alone, because the host can have one report put into quotes of several versions.
    package var digest: [UInt8] {
        switch self {
        case .snp(let report): Array(SHA256.hash(data: report.contents.signed))
        case .tdx(let quote): Array(SHA256.hash(data: quote.contents.common))
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

import Foundation
import SCXAttestation

/// Files with evidence from real hardware; `Fixtures/README.md` says where each is from.
enum Fixture {
    /// What a file holds, of `Fixtures`.
    static func bytes(_ name: String) throws -> [UInt8] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return Array(try Data(contentsOf: folder.appending(path: "Fixtures/\(name)")))
    }

    static func collateral(_ names: [String]) throws -> Collateral {
        try Collateral(try names.map { .init(name: $0, bytes: try bytes($0)) })
    }

    /// Reports with the certificates above their keys.
    static let reports: [(report: String, certificates: [String], product: Product)] = [
        ("sev/report-v2-milan.bin", ["sev/vcek-milan.der", "sev/ask-ark-milan.pem"], .milan),
        ("sev/report-milan.bin", ["sev/vcek-chain-milan.pem"], .milan),
        ("sev/report-genoa.bin", ["sev/vcek-chain-genoa.pem"], .genoa),
        ("sev/report-turin.bin", ["sev/vcek-chain-turin.pem"], .turin),
    ]

    /// All that Intel published for `quote-v4.dat` in 2023.
    static let collateral2023 = [
        "tdx/tcb-info-50806f000000-2023.json", "tdx/qe-identity-2023.json", "tdx/tcb-signing-chain-2023.pem",
        "tdx/pck-crl-platform-2023.der", "tdx/root-crl-2023.der",
    ]
    /// All that Intel published for `quote-v5.dat` in 2026.
    static let collateral2026 = [
        "tdx/tcb-info-90c06f000000-2026.json", "tdx/qe-identity-2026.json", "tdx/tcb-signing-chain-2026.pem",
        "tdx/pck-crl-platform-2026.der", "tdx/root-crl-2026.der",
    ]
}

/// A moment that must be one.
func time(_ text: String) throws -> Instant {
    guard let time = Instant(text) else { throw Missing(what: text) }
    return time
}

struct Missing: Error { let what: String }

/// Decides without a memory of evidence that was seen.
func appraise(
    _ bytes: [UInt8], with files: Collateral, policy: Policy = .standard, roots: TrustRoots = .vendors,
    at: Instant
) -> Appraisal {
    var seen = SeenEvidence()
    return Appraisal(bytes, with: files, policy: policy, roots: roots, at: at, seen: &seen)
}

extension Appraisal {
    var checks: [Check] { failures.map(\.check) }
}

func policy(_ json: String) throws -> Policy { try Policy(Array(json.utf8)) }

/// The checks that fail when a reader or a verification throws; none where it does not.
func failedChecks(_ body: () throws -> Void) -> [Check] {
    do { try body() } catch { return (error as? Failures)?.all.map(\.check) ?? [] }
    return []
}

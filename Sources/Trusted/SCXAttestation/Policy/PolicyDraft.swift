import Foundation

/// A policy that is being written: the conditions that `scx policy new` knows, as JSON.
package struct PolicyDraft: Sendable {
    package enum Kind: String, CaseIterable, Sendable { case snp, tdx }

    private var form = Form()

    private struct Form: Encodable {
        var snp: SNP?
        var tdx: TDX?
        var runs: Runs?
    }

    private struct SNP: Encodable {
        var measurements: [String]?
        var minimumTCB: [String: TCB]?
    }

    private struct TCB: Encodable {
        var fmc: UInt8?
        var bootLoader, tee, snp, microcode: UInt8
    }

    private struct TDX: Encodable {
        var measurements: [String]?
        var rtmrs: [[String]?]?
        var minimumEvaluationNumber: Int?
    }

    private struct Runs: Encodable {
        var profiles, workers, peers, models, revisions: [String]?
    }

    /// A policy for evidence of one kind or of both, without conditions of its own.
    package init(kinds: [Kind]) {
        if kinds.contains(.snp) { form.snp = SNP() }
        if kinds.contains(.tdx) { form.tdx = TDX() }
    }

    /// Allows launch measurements, beside those that were named before.
    ///
    /// - Parameter measurements: Of 48 bytes.
    package mutating func allow(measurements: [[UInt8]]) {
        guard !measurements.isEmpty else { return }
        let texts = measurements.map { Hex.text($0) }
        let (snp, tdx) = (form.snp?.measurements, form.tdx?.measurements)
        form.snp?.measurements = Self.union(snp, texts)
        form.tdx?.measurements = Self.union(tdx, texts)
    }

    /// Takes over what verified evidence says: its measurements, and its versions as the oldest that are accepted.
    package mutating func takeOver(_ evidence: VerifiedEvidence) {
        switch evidence {
        case .snp(let report):
            let versions = [report.reportedTCB, report.currentTCB, report.committedTCB, report.launchTCB]
            func least(_ level: (TCBVersion) -> UInt8) -> UInt8 { versions.map(level).min() ?? 0 }
            // Each of the four must reach the minimum, so that the evidence itself is accepted.
            let oldest = TCB(
                fmc: report.key.product == .turin ? least { $0.fmc ?? 0 } : nil,
                bootLoader: least(\.bootLoader), tee: least(\.tee), snp: least(\.snp),
                microcode: least(\.microcode))
            var snp = form.snp ?? SNP()
            snp.measurements = Self.union(snp.measurements, [Hex.text(report.measurement)])
            snp.minimumTCB = [report.key.product.rawValue: oldest]
            form.snp = snp
        case .tdx(let quote):
            var tdx = form.tdx ?? TDX()
            tdx.measurements = Self.union(tdx.measurements, [Hex.text(quote.measurement)])
            tdx.rtmrs = quote.contents.rtmrs.map { [Hex.text($0)] }
            tdx.minimumEvaluationNumber = quote.evaluation?.evaluationNumber
            form.tdx = tdx
        }
    }

    /// What a server must say of itself; an empty list is no condition, except that `workers` may be nobody.
    package mutating func require(
        profiles: [String] = [], workers: [String]? = nil, peers: [String] = [], models: [String] = [],
        revisions: [String] = []
    ) {
        func list(_ values: [String]) -> [String]? { values.isEmpty ? nil : values }
        let runs = Runs(
            profiles: list(profiles), workers: workers, peers: list(peers), models: list(models),
            revisions: list(revisions))
        let isEmpty = [runs.profiles, runs.workers, runs.peers, runs.models, runs.revisions].allSatisfy {
            $0 == nil
        }
        form.runs = isEmpty ? nil : runs
    }

    private static func union(_ old: [String]?, _ new: [String]) -> [String] {
        new.reduce(into: old ?? []) { all, text in if !all.contains(text) { all.append(text) } }
    }

    /// The policy as a file.
    ///
    /// - Throws: ``PolicyError`` where a reader of policies would refuse it.
    package func json() throws(PolicyError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(form) else { throw PolicyError("it cannot be written") }
        _ = try Policy(Array(data))
        return String(decoding: data, as: UTF8.self)
    }
}

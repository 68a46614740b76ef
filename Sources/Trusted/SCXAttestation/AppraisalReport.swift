import Foundation

/// A decision over evidence, as people and programs read it.
package struct AppraisalReport: Sendable {
    package let accepted: Bool
    private let failures: [Failure]
    /// What signed evidence says, by name; nothing where signatures do not hold.
    private let fields: [(name: String, value: String)]
    /// What was not checked, because neither the policy nor the files asked for it.
    private let notes: [String]
    private let at: Instant

    /// A decision that failed before any evidence was read.
    package init(failures: [Failure], at: Instant) {
        accepted = false
        self.failures = failures
        self.at = at
        fields = []
        notes = []
    }

    /// A decision over evidence that stands alone.
    package init(_ appraisal: Appraisal, policy: Policy, at: Instant) {
        self.init(appraisal, policy: policy, at: at, isFresh: policy.reportData != nil)
    }

    /// A decision over a server.
    ///
    /// - Parameters:
    ///   - server: The decision.
    ///   - policy: What it was made by.
    ///   - at: The time at which everything had to be valid.
    ///   - keyDigest: SHA-256 of the key of the connection; nil where it is not known.
    package init(_ server: ServerAppraisal, policy: Policy, at: Instant, keyDigest: [UInt8]? = nil) {
        accepted = server.server != nil
        failures = server.failures
        self.at = at
        let evidence = server.appraisal.map { AppraisalReport($0, policy: policy, at: at, isFresh: true) }
        var fields = evidence?.fields ?? []
        if let keyDigest { fields.append(("TLS key", Hex.text(keyDigest))) }
        // Other statements are of nobody in particular.
        if let statement = server.statement, server.isStatementBound { fields += Self.fields(statement) }
        self.fields = fields
        notes = (evidence?.notes ?? []) + PolicySummary(policy).openStatements
    }

    private static func fields(_ statement: ServerStatement) -> [(String, String)] {
        func list(_ values: [String]) -> String { values.isEmpty ? "none" : values.joined(separator: ", ") }
        return [
            ("software", statement.software), ("revision", statement.revision), ("model", statement.model),
            ("model digest", statement.modelDigest), ("profiles", list(statement.profiles)),
            ("workers", list(statement.workers)), ("peers", list(statement.peers)),
        ]
    }

    private init(_ appraisal: Appraisal, policy: Policy, at: Instant, isFresh: Bool) {
        accepted = appraisal.accepted != nil
        failures = appraisal.failures
        self.at = at
        var notes: [String] = []
        switch appraisal.verified {
        case .snp(let report):
            fields = Self.fields(report)
            if policy.snp?.measurements == nil { notes.append("the policy names no launch measurement") }
            if policy.snp?.minimumTCB == nil { notes.append("the policy names no minimum TCB version") }
            notes += Self.notes(unlisted: report.key.unlisted)
        case .tdx(let quote):
            fields = Self.fields(quote)
            if policy.tdx?.measurements == nil { notes.append("the policy names no launch measurement") }
            if policy.tdx?.rtmrs.allSatisfy({ $0 == nil }) ?? true {
                notes.append(
                    "the policy names no runtime registers, so that kernel and file systems may be any: MRTD is of the firmware alone"
                )
            }
            if quote.evaluation == nil {
                notes.append(
                    "no collateral of Intel's was there: platform, TDX module and quoting enclave may be of any age, with known flaws"
                )
            }
            notes += Self.notes(unlisted: quote.key.unlisted)
        case nil: fields = []
        }
        if !isFresh && appraisal.verified != nil {
            notes.append("the report data was not compared, so that the evidence may be of any age")
        }
        self.notes = notes
    }

    private static func notes(unlisted: [String]) -> [String] {
        unlisted.map {
            "no revocation list of '\($0)' was there, so that what it issued may have been revoked"
        }
    }

    private static func fields(_ report: VerifiedReport) -> [(String, String)] {
        let contents = report.contents
        return [
            ("evidence", "SEV-SNP report, version \(contents.version)"),
            ("product", report.key.product.rawValue), ("signed by", report.key.kind.rawValue),
            ("measurement", Hex.text(report.measurement)), ("report data", Hex.text(contents.reportData)),
            ("host data", Hex.text(contents.hostData)),
            ("policy", "0x" + String(contents.policy.bits, radix: 16)),
            ("debug", contents.policy.allowsDebug ? "allowed" : "forbidden"),
            ("level", "VMPL \(contents.privilegeLevel)"), ("reported TCB", "\(report.reportedTCB)"),
            ("committed TCB", "\(report.committedTCB)"), ("launch TCB", "\(report.launchTCB)"),
            ("platform", contents.platform.features.map(\.rawValue).joined(separator: ", ")),
            ("guest SVN", "\(contents.guestSVN)"), ("ID key", Hex.text(contents.idKeyDigest)),
            ("author key", Hex.text(contents.authorKeyDigest)), ("chip", Hex.text(contents.chipID)),
        ]
    }

    private static func fields(_ quote: VerifiedQuote) -> [(String, String)] {
        let contents = quote.contents
        func status(_ status: TCBStatus?) -> String { status?.rawValue ?? "below every level" }
        var fields = [
            ("evidence", "TDX quote, version \(contents.version)"), ("measurement", Hex.text(contents.mrTD)),
        ]
        fields += contents.rtmrs.enumerated().map { ("RTMR\($0)", Hex.text($1)) }
        fields += [
            ("report data", Hex.text(contents.reportData)), ("MRCONFIGID", Hex.text(contents.mrConfigID)),
            ("MROWNER", Hex.text(contents.mrOwner)), ("TDX module", Hex.text(contents.mrSeam)),
            ("attributes", "0x" + String(contents.attributes, radix: 16)),
            ("XFAM", "0x" + String(contents.xfam, radix: 16)),
            ("debug", contents.isDebug ? "on" : "off"), ("TCB SVN", Hex.text(contents.teeTCB)),
            ("FMSPC", Hex.text(quote.key.platform.fmspc)),
        ]
        if let current = contents.currentTEETCB { fields.append(("current SVN", Hex.text(current))) }
        if let service = contents.mrServiceTD { fields.append(("MRSERVICETD", Hex.text(service))) }
        if let evaluation = quote.evaluation {
            fields.append(("TCB platform", status(evaluation.launch.platform)))
            if evaluation.launch.hasModule {
                fields.append(("TCB module", status(evaluation.launch.module)))
            }
            if let current = evaluation.current {
                fields.append(("now platform", status(current.platform)))
                if current.hasModule { fields.append(("now module", status(current.module))) }
            }
            fields.append(("TCB enclave", status(evaluation.enclave)))
            fields.append(("evaluation", "\(evaluation.evaluationNumber)"))
        }
        return fields
    }

    // MARK: Forms

    /// One line for each field, note and failure; the decision comes last.
    package var text: String {
        func line(_ name: String, _ value: String) -> String {
            name + String(repeating: " ", count: max(1, 14 - name.count)) + value
        }
        let count = failures.count == 1 ? "1 check does" : "\(failures.count) checks do"
        return
            (fields.map(line) + notes.map { line("note", $0) } + failures.map { line("failed", "\($0)") }
            + [line("decision", accepted ? "accepted as of \(at)" : "refused as of \(at): \(count) not hold")])
            .joined(separator: "\n")
    }

    private struct Output: Encodable {
        struct Failed: Encodable {
            let number: Int
            let check: String
            let line: String
        }

        let accepted: Bool
        let at: String
        let failures: [Failed]
        let notes: [String]
        let evidence: [String: String]
    }

    /// The same as an object in JSON.
    package func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let output = Output(
            accepted: accepted, at: "\(at)",
            failures: failures.map {
                .init(number: $0.check.number, check: $0.check.rawValue, line: $0.detail)
            },
            notes: notes, evidence: Dictionary(fields.map { ($0.name, $0.value) }) { first, _ in first })
        return String(decoding: try encoder.encode(output), as: UTF8.self)
    }
}

/// A policy in words: what it demands, and what it leaves open.
package struct PolicySummary: Sendable {
    private let policy: Policy

    package init(_ policy: Policy) { self.policy = policy }

    /// One line for each condition.
    package var demands: [String] {
        var lines: [String] = []
        if let snp = policy.snp { lines += Self.demands(snp).map { "SEV-SNP: \($0)" } }
        if let tdx = policy.tdx { lines += Self.demands(tdx).map { "TDX: \($0)" } }
        if let data = policy.reportData {
            lines.append(
                "report data: \(Hex.text(data)), for evidence that stands alone; a server's nonce takes its place"
            )
        }
        if let runs = policy.runs { lines += Self.demands(runs) }
        return lines
    }

    /// One line for each thing that the policy lets be any.
    package var open: [String] {
        var lines: [String] = []
        if policy.snp != nil, policy.tdx != nil { lines.append("SEV-SNP and TDX are both accepted") }
        if let snp = policy.snp { lines += Self.open(snp).map { "SEV-SNP: \($0)" } }
        if let tdx = policy.tdx { lines += Self.open(tdx).map { "TDX: \($0)" } }
        return lines + openStatements
    }

    /// The part of ``open`` that is about what a server says of itself.
    var openStatements: [String] {
        guard let runs = policy.runs else {
            return ["the policy has no part 'runs': any profile, worker, model and revision is accepted"]
        }
        let parts = [
            ("profile", runs.profiles), ("worker", runs.workers), ("model", runs.models),
            ("revision", runs.revisions),
        ]
        let anyPeer = runs.workers == nil && runs.peers == nil
        return parts.filter { $0.1 == nil }.map { "the policy names no \($0.0): any is accepted" }
            + (anyPeer ? ["the policy names no peer: any is accepted"] : [])
    }

    /// Whether any software may run in the guest: a part names no launch measurement, or for TDX no runtime registers.
    package var allowsAnySoftware: Bool {
        let snp = policy.snp.map { $0.measurements == nil } ?? false
        let tdx = policy.tdx.map { $0.measurements == nil || $0.rtmrs.allSatisfy { $0 == nil } } ?? false
        return snp || tdx
    }

    // MARK: Parts

    private static func measurements(_ all: [[UInt8]]?) -> [String] {
        (all ?? []).map { "launch measurement \(Hex.text($0))" }
    }

    private static func demands(_ snp: Policy.SNP) -> [String] {
        var lines = measurements(snp.measurements)
        for (product, version) in (snp.minimumTCB ?? [:]).sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            lines.append("TCB of \(product.rawValue) at least \(version)")
        }
        if !snp.allowDebug { lines.append("the host cannot debug the guest") }
        if !snp.allowThreads { lines.append("the guest shares no cores") }
        if !snp.allowMigrationAgent { lines.append("no migration agent") }
        lines.append("privilege level " + snp.privilegeLevels.map { "\($0)" }.joined(separator: " or "))
        if snp.minimumGuestSVN > 0 {
            lines.append("guest's security version at least \(snp.minimumGuestSVN)")
        }
        let lists = [
            ("host data", snp.hostData), ("family ID", snp.familyIDs), ("image ID", snp.imageIDs),
            ("ID key", snp.idKeyDigests), ("author key", snp.authorKeyDigests), ("chip", snp.chipIDs),
        ]
        for (name, list) in lists { lines += (list ?? []).map { "\(name) \(Hex.text($0))" } }
        lines.append("signed by a " + snp.signingKeys.map(\.rawValue).joined(separator: " or "))
        for feature in snp.requiredPlatform { lines.append("the platform reports \(feature.rawValue)") }
        if snp.revocation == .required { lines.append("a revocation list is there") }
        return lines
    }

    private static func demands(_ runs: Policy.Runs) -> [String] {
        func allowed(_ name: String, _ values: [String]?) -> [String] {
            (values ?? []).map { "\(name) '\($0)' is allowed" }
        }
        let workers =
            runs.workers == [] ? ["the server uses no worker"] : allowed("worker", runs.workers)
        let peers =
            runs.peers.map { $0.isEmpty ? ["the server uses no peer"] : allowed("peer", $0) }
            ?? (runs.workers == nil ? [] : ["the server uses no peer"])
        return allowed("profile", runs.profiles) + workers + peers + allowed("model", runs.models)
            + allowed("revision", runs.revisions)
    }

    private static func open(_ snp: Policy.SNP) -> [String] {
        var lines: [String] = []
        if snp.measurements == nil { lines.append("any launch measurement: any software is accepted") }
        if snp.minimumTCB == nil { lines.append("any TCB version: firmware with known flaws is accepted") }
        if snp.allowDebug { lines.append("the host may debug the guest: it can read all of its memory") }
        if snp.allowThreads { lines.append("the guest may share cores with others") }
        if snp.allowMigrationAgent { lines.append("the guest may have a migration agent") }
        if snp.chipIDs == nil {
            lines.append("any chip: a key that was taken from one machine signs for all")
        }
        if snp.revocation == .whenGiven { lines.append("a revocation list is used only where it is there") }
        return lines
    }

    private static func demands(_ tdx: Policy.TDX) -> [String] {
        var lines = measurements(tdx.measurements)
        for (number, allowed) in tdx.rtmrs.enumerated() {
            lines += (allowed ?? []).map { "RTMR\(number) \(Hex.text($0))" }
        }
        if !tdx.allowDebug { lines.append("the host cannot debug the domain") }
        if !tdx.allowMigration { lines.append("the domain cannot be moved") }
        let lists = [
            ("MRCONFIGID", tdx.configIDs), ("MROWNER", tdx.owners), ("MROWNERCONFIG", tdx.ownerConfigs),
            ("MRSEAM", tdx.modules), ("MRSERVICETD", tdx.serviceTDs),
        ]
        for (name, list) in lists { lines += (list ?? []).map { "\(name) \(Hex.text($0))" } }
        if tdx.requiredAttributes != 0 {
            lines.append("attributes with 0x" + String(tdx.requiredAttributes, radix: 16))
        }
        if let statuses = tdx.tcbStatuses {
            lines.append("TCB status " + statuses.map(\.rawValue).joined(separator: " or "))
        }
        if tdx.minimumEvaluationNumber > 0 {
            lines.append("collateral of evaluation \(tdx.minimumEvaluationNumber) or later")
        }
        if tdx.revocation == .required { lines.append("revocation lists are there") }
        return lines
    }

    private static func open(_ tdx: Policy.TDX) -> [String] {
        var lines: [String] = []
        if tdx.measurements == nil { lines.append("any launch measurement: any firmware is accepted") }
        if tdx.rtmrs.allSatisfy({ $0 == nil }) {
            lines.append("any runtime registers: any kernel and file systems are accepted")
        }
        if tdx.allowDebug { lines.append("the host may debug the domain: it can read all of its memory") }
        if tdx.allowMigration { lines.append("the domain may be moved to another machine") }
        if tdx.tcbStatuses == nil { lines.append("any TCB status: platforms with known flaws are accepted") }
        if tdx.minimumEvaluationNumber == 0 {
            lines.append("collateral of any evaluation that is within its dates")
        }
        if tdx.revocation == .whenGiven {
            lines.append("revocation lists are used only where they are there")
        }
        return lines
    }
}

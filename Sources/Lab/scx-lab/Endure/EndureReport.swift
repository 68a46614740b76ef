import Foundation
import SCXInference

/// The results of an endurance run.
struct EndureReport: Sendable {
    var requests = 0
    var answers = EndureLoad.Counts()
    var kills: [EndurePlan.Victim] = []
    var health = EndureHealth.Counts()
    /// The trusted side's memory in bytes after a quarter, a half and all of the answers.
    var memory: [Int?] = [nil, nil, nil]
    var seconds = 0.0
    var tokens = 0
    /// How many rows are in the recordings of the main workers, and how many of them are near an earlier one; nil
    /// without recordings.
    var recorded: (rows: Int, repeated: Int)?

    /// Whether every request was answered rightly, and no pad was used twice.
    var isClean: Bool { answers.right == requests && recorded?.repeated ?? 0 == 0 }

    private var killed: (workers: Int, peers: Int, trusted: Int) {
        let (peers, trusted) = (kills.count { $0 == .peer }, kills.count { $0 == .trusted })
        return (kills.count - peers - trusted, peers, trusted)
    }

    var text: String {
        let killed = killed
        func mebibytes(_ bytes: Int?) -> String { bytes.map { "\($0 >> 20) MiB" } ?? "-" }
        var lines = [
            "requests  \(requests): \(answers.right) right, \(answers.wrong.count) wrong, \(answers.lost.count) lost",
            "kills     \(kills.count): workers \(killed.workers), peer \(killed.peers), trusted side \(killed.trusted)",
            "retries   \(answers.retries) of requests that had begun; \(health.refusedProducts) products refused, "
                + "\(health.rowsComputedHere) rows computed here",
            "memory    of the trusted side at 25 %: \(mebibytes(memory[0])), 50 %: \(mebibytes(memory[1])), "
                + "100 %: \(mebibytes(memory[2]))",
            String(
                format:
                    "stalled   %.1f s for pads; %d rows by the peer, %d from disk, %d ready before they were needed",
                health.stalledSeconds, health.padsOfPeer, health.padsFromDisk, health.preparedPads),
            String(
                format: "took      %.1f s, %.0f tokens of answers a second", seconds,
                Double(tokens) / max(seconds, 1e-9)),
        ]
        if let recorded {
            lines.append(
                "recorded  \(recorded.rows) rows that main workers received; \(recorded.repeated) equal or near an earlier one"
            )
        }
        return lines.joined(separator: "\n")
    }

    var json: JSON {
        let killed = killed
        var members: [JSON.Member] = [
            .init("requests", .int(requests)), .init("right", .int(answers.right)),
            .init("wrong", .int(answers.wrong.count)), .init("lost", .int(answers.lost.count)),
            .init(
                "kills",
                [
                    "workers": .int(killed.workers), "peer": .int(killed.peers),
                    "trusted": .int(killed.trusted),
                ]),
            .init("retries", .int(answers.retries)),
            .init("refused_products", .int(health.refusedProducts)),
            .init("rows_computed_here", .int(health.rowsComputedHere)),
            .init("memory_bytes", .array(memory.map { $0.map { .int($0) } ?? .null })),
            .init("stalled_s", .double(health.stalledSeconds)),
            .init(
                "pads",
                [
                    "peer": .int(health.padsOfPeer), "banked": .int(health.preparedPads),
                    "from_disk": .int(health.padsFromDisk),
                ]),
            .init("seconds", .double(seconds)), .init("tokens", .int(tokens)),
        ]
        if let recorded {
            members.append(
                .init("recorded", ["rows": .int(recorded.rows), "repeated": .int(recorded.repeated)]))
        }
        return .object(members)
    }
}

import Foundation
import SCXInference

/// What one attack did to the server's other clients: their answer times before and during it, failures, and memory.
struct AttackReport {
    let attack: String
    var before = Victims.Times()
    var during = Victims.Times()
    /// How often each outcome occurred among the attack's own requests: a status, or an error of the connection.
    var outcomes: [String: Int] = [:]
    var memoryBefore: Int?
    var memoryDuring: Int?
    var memoryAfter: Int?
    /// Whether the server had nothing left to compute some time after the attack.
    var wasIdle = false

    init(attack: String) { self.attack = attack }

    /// Whether the server still works, and answered every request of the other clients.
    var isClean: Bool { during.failures.isEmpty && wasIdle && !during.answers.isEmpty }

    /// The 99th percentile of the other clients' answer times during the attack, divided by that before it.
    private var slowdown: Double {
        Victims.Times.percentile(during.answers, 0.99) / Victims.Times.percentile(before.answers, 0.99)
    }

    static let heading =
        "attack            others' p50 ms  p99 ms  x     /health p99 ms  memory MiB before, during, after"

    /// The report for the terminal: a line of figures, and one of the attack's outcomes.
    var lines: String {
        func milliseconds(_ times: [Double], _ share: Double) -> String {
            String(format: "%.1f", 1000 * Victims.Times.percentile(times, share))
        }
        func pair(_ share: Double) -> String {
            "\(milliseconds(before.answers, share))→\(milliseconds(during.answers, share))"
        }
        let memory = [memoryBefore, memoryDuring, memoryAfter].map { $0.map { "\($0 >> 20)" } ?? "?" }
            .joined(separator: ", ")
        func list(_ counts: [String: Int]) -> String {
            counts.sorted { $0.key < $1.key }.map { "\($0.value) × \($0.key)" }.joined(separator: ", ")
        }
        let (counts, failures) = (list(outcomes), list(during.failures))
        let name = attack.padding(toLength: 17, withPad: " ", startingAt: 0)
        var text = "\(name) \(pair(0.5))  \(pair(0.99))  "
        text += String(format: "%.2f", slowdown)
        text += "  \(milliseconds(before.health, 0.99))→\(milliseconds(during.health, 0.99))  \(memory)"
        text += "\n                  \(during.answers.count) answers to others; the attack got \(counts)"
        if !failures.isEmpty { text += "\n                  OTHERS FAILED: \(failures)" }
        if !wasIdle { text += "\n                  the server is still busy" }
        return text
    }

    var json: JSON {
        func times(_ times: Victims.Times) -> JSON {
            [
                "answers": .int(times.answers.count),
                "p50_ms": .double(1000 * Victims.Times.percentile(times.answers, 0.5)),
                "p99_ms": .double(1000 * Victims.Times.percentile(times.answers, 0.99)),
                "health_p99_ms": .double(1000 * Victims.Times.percentile(times.health, 0.99)),
                "failures": .object(times.failures.map { .init($0.key, .int($0.value)) }),
            ]
        }
        func bytes(_ memory: Int?) -> JSON { memory.map { .int($0) } ?? .null }
        return [
            "attack": .string(attack), "before": times(before), "during": times(during),
            "slowdown_p99": .double(slowdown), "is_idle_after": .bool(wasIdle),
            "memory_before": bytes(memoryBefore), "memory_during": bytes(memoryDuring),
            "memory_after": bytes(memoryAfter),
            "outcomes": .object(outcomes.sorted { $0.key < $1.key }.map { .init($0.key, .int($0.value)) }),
        ]
    }
}

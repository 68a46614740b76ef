import Foundation
import SCXInference

/// The checks of a worker, and what became of each.
struct ConformanceReport: Sendable {
    /// A check that was made.
    struct Row: Sendable {
        let check: ConformanceCheck
        let outcome: ConformanceOutcome
        let seconds: Double
    }

    let worker: String
    let hello: WorkerHello
    let tolerance: Double
    var rows: [Row] = []

    private func count(_ word: String) -> Int { rows.count { $0.outcome.word == word } }

    /// Whether no check failed.
    var isClean: Bool { count("failed") == 0 }

    var summary: String {
        "\(count("passed")) passed, \(count("failed")) failed, \(count("skipped")) skipped"
    }

    /// A line for each check, under its group.
    var table: String {
        let width = rows.map(\.check.name.count).max() ?? 0
        var lines = [
            "\(worker): weights '\(hello.weights)', ring \(hello.isRing ? 1 : 0); float32 within \(tolerance.short) of the "
                + "largest number of each answer"
        ]
        for group in ConformanceGroup.allCases {
            let own = rows.filter { $0.check.group == group }
            guard !own.isEmpty else { continue }
            lines += ["", "\(group.rawValue): \(group.summary)"]
            lines += own.map { row in
                let number =
                    String(repeating: " ", count: max(0, 4 - "\(row.check.number)".count))
                    + "\(row.check.number)"
                let name = row.check.name.padding(toLength: width, withPad: " ", startingAt: 0)
                return
                    "\(number)  \(name)  \(row.outcome.word.padding(toLength: 7, withPad: " ", startingAt: 0))  "
                    + row.outcome.detail.printable(longest: 300)
            }
        }
        return (lines + ["", summary]).joined(separator: "\n")
    }

    var json: JSON {
        [
            "worker": .string(worker), "weights": .string(hello.weights), "ring": .bool(hello.isRing),
            "window": .int(hello.window), "tolerance": .double(tolerance),
            "checks": .array(
                rows.map { row in
                    [
                        "number": .int(row.check.number), "group": .string(row.check.group.rawValue),
                        "check": .string(row.check.name), "result": .string(row.outcome.word),
                        "detail": .string(row.outcome.detail.printable(longest: 300)),
                        "seconds": .double(row.seconds),
                    ]
                }),
            "passed": .int(count("passed")), "failed": .int(count("failed")),
            "skipped": .int(count("skipped")),
        ]
    }
}

extension ConformanceReport {
    /// Makes checks, one after the other.
    ///
    /// - Parameters:
    ///   - checks: Which checks, in their order.
    ///   - subject: The worker.
    ///   - progress: Is told which check begins, and how many were made.
    init(
        _ checks: [ConformanceCheck], of subject: ConformanceSubject,
        progress: (_ check: ConformanceCheck, _ done: Int) -> Void = { _, _ in }
    ) {
        worker = "\(subject.settings.place.address)"
        hello = subject.hello
        tolerance = subject.tolerance
        for (done, check) in checks.enumerated() {
            progress(check, done)
            let start = ContinuousClock.now
            let outcome: ConformanceOutcome
            do {
                outcome = .passed(try check.body(subject))
            } catch let skip as ConformanceSkip {
                outcome = .skipped(skip.reason)
            } catch {
                outcome = .failed("\(error)")
            }
            rows.append(
                Row(check: check, outcome: outcome, seconds: (ContinuousClock.now - start) / .seconds(1)))
        }
    }
}

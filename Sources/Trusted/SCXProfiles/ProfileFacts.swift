/// What a profile shows to a worker and what it hides, in words for people.
///
/// This is the one place that says it: `scx serve` prints these words, `/health`, `/v1/models` and the page show them, and
/// a test holds the table of README.md to them.
package struct ProfileFacts: Equatable, Sendable {
    package let name: String
    /// What the worker gets.
    package let sees: String
    package let hides: String
    package let leaks: String

    /// - Parameters:
    ///   - name: As `--profile` has it.
    ///   - sees: What the worker gets.
    ///   - hides: From the worker.
    ///   - leaks: To the worker.
    package init(name: String, sees: String, hides: String, leaks: String) {
        (self.name, self.sees, self.hides, self.leaks) = (name, sees, hides, leaks)
    }

    /// All of it in one line.
    package var line: String { "the worker sees \(sees); hidden: \(hides); leaked: \(leaks)" }

    /// Of all profiles, in the order in which people read them.
    package static let all = [
        ProfileFacts(
            name: "sealed",
            sees: "uniform integers modulo 2³² under one-time pads; every product is verified",
            hides: "everything but shapes and timing", leaks: "how many rows, and when"),
        ProfileFacts(
            name: "scx", sees: "permuted, padded, noised rows",
            hides: "nothing from a worker that keeps and analyses what it receives", leaks: "every token"),
        ProfileFacts(
            name: "plain", sees: "activations in clear", hides: "nothing", leaks: "every token"),
        ProfileFacts(
            name: "fixed-point", sees: "nothing: the trusted side does all of the arithmetic",
            hides: "everything", leaks: "nothing"),
    ]

    /// A table of lines for a terminal.
    ///
    /// - Parameter profiles: Its rows.
    /// - Returns: The heading, then a line for each.
    package static func table(_ profiles: [ProfileFacts]) -> [String] {
        let heading = ["profile", "the worker sees", "hides", "leaks"]
        let rows = [heading] + profiles.map { [$0.name, $0.sees, $0.hides, $0.leaks] }
        let widths = heading.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.indices.map { column in
                let isLast = column == row.count - 1
                return row[column]
                    + String(repeating: " ", count: isLast ? 0 : widths[column] - row[column].count + 2)
            }.joined()
        }
    }
}

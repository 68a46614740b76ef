/// What a profile shows to a worker and what it hides, in words for people.
///
/// This is the only place with these words: `scx serve` prints them, `/health`, `/v1/models` and the page show them,
/// and a test checks that the table of README.md has them.
package struct ProfileFacts: Equatable, Sendable {
    package let name: String
    /// What the worker gets.
    package let sees: String
    package let hides: String
    package let leaks: String

    /// Makes the facts of a profile.
    ///
    /// - Parameters:
    ///   - name: The profile's name in `--profile`.
    ///   - sees: What the worker gets.
    ///   - hides: What is hidden from the worker.
    ///   - leaks: What the worker learns.
    package init(name: String, sees: String, hides: String, leaks: String) {
        (self.name, self.sees, self.hides, self.leaks) = (name, sees, hides, leaks)
    }

    /// All facts in one line.
    package var line: String { "the worker sees \(sees); hidden: \(hides); leaked: \(leaks)" }

    /// The facts of all profiles, in the order in which people are shown them.
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

    /// Formats a table for a terminal.
    ///
    /// - Parameter profiles: The profiles, one for each row.
    /// - Returns: The heading, then a line for each profile.
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

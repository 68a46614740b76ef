import Foundation
import SCXAttacks

/// A table of a report, for its Markdown and its HTML.
struct ReportTable {
    struct Cell {
        let text: String
        /// How much was recovered, 0 to 1, which determines the cell's colour; nil in cells about something else.
        var share: Double?

        init(_ text: String, share: Double? = nil) { (self.text, self.share) = (text, share) }
    }

    let head: [String]
    let rows: [[Cell]]

    /// A column for each case and a row for each attack: what the attack recovered.
    static func overview(_ cases: [ReportCaseResult]) -> ReportTable {
        var names: [String] = []
        for row in cases.flatMap(\.rows) where !names.contains(row.attack) { names.append(row.attack) }
        let rows = names.compactMap { name -> [Cell]? in
            let found = cases.map { one in one.rows.first { $0.attack == name && $0.refusal == nil } }
            guard found.contains(where: { $0?.gives ?? false }) else { return nil }
            return [Cell(name)] + found.map { $0.map(Cell.init) ?? Cell("–") }
        }
        return ReportTable(head: ["attack"] + cases.map(\.name), rows: rows)
    }

    /// For each case the attack that recovered the most.
    static func best(_ cases: [ReportCaseResult]) -> ReportTable {
        ReportTable(
            head: [
                "setting", "prompts", "best attack", "recovered (95 %)", "guessing", "nearest-input (set)",
            ],
            rows: cases.map { one in
                [
                    Cell(one.name), Cell("\(one.lengths.count)"), Cell(one.best?.attack ?? "none"),
                    one.best.map { Cell($0) } ?? Cell("–"), one.chance.map { Cell($0) } ?? Cell("–"),
                    one.rows.first { $0.attack == "nearest-input" && $0.refusal == nil }.map {
                        Cell(interval($0.set), share: $0.set.value)
                    } ?? Cell("–"),
                ]
            })
    }

    /// Every attack with its control.
    static func controls(_ cases: [ReportCaseResult]) -> ReportTable {
        let rows = cases.flatMap { one in
            one.rows.filter { $0.attack != "guessing" }.map { row -> [Cell] in
                let (what, share): (String, Share) =
                    switch row.attack {
                    case "logit-lens": ("answer", row.laterAnswers)
                    case "row-space": ("different tokens", row.distinct)
                    case _ where row.hasPositions: ("tokens in place", row.exact)
                    default: ("tokens", row.set)
                    }
                let pairs = row.hasPositions ? nil : row.measures.first { $0.chance == 0...0 }
                let figure = pairs.map { "\(Int($0.value)) found" }
                return [
                    Cell(row.attack), Cell(one.name), Cell(figure.map { _ in "pads used twice" } ?? what),
                    Cell(
                        row.refusal ?? figure ?? interval(share),
                        share: row.refusal != nil ? nil : figure != nil ? 1 : share.value),
                    Cell(one.chance.map { percent($0.exact.value) } ?? "–"),
                ]
            }
        }
        return ReportTable(
            head: ["attack", "control", "counted", "recovered (95 %)", "guessing"], rows: rows)
    }

    /// All attacks of one case.
    static func attacks(_ one: ReportCaseResult) -> ReportTable {
        ReportTable(
            head: [
                "attack", "sessions", "in place (95 %)", "of prompts", "of answers", "as a set", "ROUGE-L",
                "edit distance", "rank", "candidates", "seconds",
            ],
            rows: one.rows.map { row in
                guard row.refusal == nil else {
                    return [Cell(row.attack), Cell("nothing to attack: \(row.refusal ?? "")")]
                        + [Cell](repeating: Cell(""), count: 9)
                }
                return [
                    Cell(row.attack), Cell("\(row.sessions)"), Cell(row),
                    Cell(percent(row.prompts.value)),
                    Cell(row.answers.trials > 0 ? percent(row.answers.value) : "–"),
                    Cell(percent(row.set.value)), Cell(String(format: "%.3f", row.rougeL)),
                    Cell(String(format: "%.3f", row.editDistance)),
                    Cell(row.medianRank.map { "\($0)" } ?? "–"),
                    Cell("\(row.candidates)"), Cell(String(format: "%.1f", row.seconds)),
                ]
            })
    }

    /// The measures that are not tokens.
    static func measures(_ one: ReportCaseResult) -> ReportTable {
        ReportTable(
            head: ["attack", "measure", "value", "by chance (95 %)"],
            rows: one.rows.flatMap { row in
                row.measures.map { measure in
                    [
                        Cell(row.attack), Cell(measure.name), Cell(String(format: "%.4g", measure.value)),
                        Cell(
                            measure.chance.map {
                                String(format: "%.3g to %.3g", $0.lowerBound, $0.upperBound)
                            }
                                ?? "–"),
                    ]
                }
            })
    }

    /// Lengths that attacks guessed.
    static func lengths(_ cases: [ReportCaseResult], context: Int) -> ReportTable {
        let rows = cases.flatMap { one in
            NumberGuess.Name.allCases.compactMap { name -> [Cell]? in
                let guesses = one.rows.flatMap(\.guesses).filter { $0.guess.name == name }
                guard !guesses.isEmpty else { return nil }
                let right = Share(
                    guesses.count { Int($0.guess.best.rounded()) == $0.truth }, of: guesses.count)
                let n = Double(guesses.count)
                let error = guesses.reduce(0) { $0 + abs($1.guess.best - Double($1.truth)) } / n
                let truth = guesses.reduce(0) { $0 + Double($1.truth) } / n
                let ranges = guesses.compactMap { one in one.guess.range.map { ($0, one.truth) } }
                let inside = ranges.count { $0.0.contains($0.1) }
                // How much is learned about a number that could be anything up to the context's length.
                let bits = ranges.reduce(0) { $0 + logarithm2(Double(context) / Double($1.0.count)) }
                return [
                    Cell(one.name), Cell(name.rawValue), Cell(interval(right), share: right.value),
                    Cell(String(format: "%.1f", error)), Cell(String(format: "%.1f", truth)),
                    Cell(ranges.isEmpty ? "–" : "\(inside) of \(ranges.count)"),
                    Cell(
                        ranges.isEmpty || name == .acceptedTokens
                            ? "–" : String(format: "%.1f", bits / Double(ranges.count))),
                ]
            }
        }
        return ReportTable(
            head: [
                "case", "number", "guessed exactly (95 %)", "mean error", "mean", "in the range told",
                "bits learnt",
            ], rows: rows)
    }

    static func interval(_ share: Share) -> String {
        guard share.trials > 0 else { return "–" }
        return String(
            format: "%.1f %% (%.1f–%.1f)", 100 * share.value, 100 * share.interval.lowerBound,
            100 * share.interval.upperBound)
    }
}

private func logarithm2(_ x: Double) -> Double { log2(x) }

extension ReportTable.Cell {
    /// What an attack recovered.
    init(_ row: ReportRow) {
        let text = ReportTable.interval(row.recovered)
        self.init(row.hasPositions || text == "–" ? text : "set: \(text)", share: row.recovered.value)
    }
}

extension ReportRow {
    /// Whether the attack gives tokens, and not only measures.
    fileprivate var gives: Bool { hasPositions || set.successes > 0 || attack == "nearest-input" }

    /// The answer without its first token, which no state of a generated token predicts.
    fileprivate var laterAnswers: Share {
        Share(answers.successes, of: max(answers.successes, answers.trials - sessions))
    }
}

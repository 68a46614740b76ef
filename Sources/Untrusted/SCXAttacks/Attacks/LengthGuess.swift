import SCXInference
import SCXLink

/// Guesses how many tokens a prompt and an answer have, and how many sessions there were, from row counts and times.
///
/// A17. No encoding of values hides row counts. Exact counts are the lengths; rounded counts leave a range. The
/// trusted side spends time on attention and on its other work for real rows only, so the time between an answer and
/// the next request tells more than a rounded count: a straight line fitted to times of the attacker's own sessions
/// gives a length for each time.
public struct LengthGuess: Attack {
    public let name = "length"
    /// Whether the trusted side is known to use speculation, so that a step may have several tokens.
    public let hasDrafts: Bool

    public init(hasDrafts: Bool = false) { self.hasDrafts = hasDrafts }

    public func run(on target: Target) throws(AttackError) -> Findings {
        let steps = target.session.steps
        guard steps.contains(where: { $0.ringRows != nil }) else {
            throw .nothingToAttack("no rows of integers")
        }
        let rounding = RowRounding(target.views)
        let prompt = Array(steps.prefix(1) + steps.dropFirst().prefix(while: \.continuesPrompt))
        let range = sum(prompt.compactMap(\.ringRows).map { rounding.tokens($0) })
        let answers = steps.dropFirst(prompt.count).compactMap(\.ringRows)
        // Without drafts a step has one token; with drafts it has at least one that is certain.
        let answer = sum(
            answers.map { rows in
                rows <= rounding.least && !hasDrafts ? 1...1 : 1...rounding.tokens(rows).upperBound
            })
        var findings = Findings()
        findings.guesses = [
            NumberGuess(.sessions, Double(target.views.sessions.count)),
            NumberGuess(.promptTokens, middle(range), in: range),
            NumberGuess(.answerTokens, middle(answer), in: answer),
        ]
        if range.count > 1, let tokens = tokensByTime(prompt, target) {
            let inside = min(max(tokens, Double(range.lowerBound)), Double(range.upperBound))
            findings.guesses.append(NumberGuess(.promptTokensByTime, inside))
        }
        let limit = Double(target.configuration.maximumLength)
        findings.measures = [
            Measure("least tokens of the prompt", Double(range.lowerBound)),
            Measure("most tokens of the prompt", Double(range.upperBound)),
            Measure("bits learnt of the prompt's length", binaryLogarithm(limit / Double(range.count))),
            Measure("least tokens of the answer", Double(answer.lowerBound)),
            Measure("most tokens of the answer", Double(answer.upperBound)),
        ]
        return findings
    }

    private func sum(_ ranges: [ClosedRange<Int>]) -> ClosedRange<Int> {
        let low = ranges.reduce(0) { $0 + $1.lowerBound }
        return low...ranges.reduce(0) { $0 + $1.upperBound }
    }

    private func middle(_ range: ClosedRange<Int>) -> Double {
        (Double(range.lowerBound) + Double(range.upperBound)) / 2
    }

    /// The prompt's length by a least-squares line through the attacker's own sessions.
    private func tokensByTime(_ prompt: [Step], _ target: Target) -> Double? {
        guard let time = time(of: prompt) else { return nil }
        var points: [(x: Double, y: Double)] = []
        for (session, tokens) in target.own {
            let parts = session.steps.prefix(1) + session.steps.dropFirst().prefix(while: \.continuesPrompt)
            // They have as many generated tokens as there are steps after the prompt.
            let length = tokens.count - (session.steps.count - parts.count)
            guard length > 0, let x = self.time(of: Array(parts)) else { continue }
            points.append((x, Double(length)))
        }
        guard points.count > 2 else { return nil }
        let n = Double(points.count)
        let mean = (x: points.reduce(0) { $0 + $1.x } / n, y: points.reduce(0) { $0 + $1.y } / n)
        let square = points.reduce(0) { $0 + ($1.x - mean.x) * ($1.x - mean.x) }
        guard square > 0 else { return nil }
        let product = points.reduce(0) { $0 + ($1.x - mean.x) * ($1.y - mean.y) }
        return max(1, mean.y + product / square * (time - mean.x))
    }

    /// How many microseconds the trusted side worked between answers and the next requests; nil when the steps do not
    /// have both.
    ///
    /// For each site it takes the median over the blocks, so that a single pause does not count.
    private func time(of steps: [Step]) -> Double? {
        var gaps: [Site: [Int]] = [:]
        for step in steps {
            let exchanges = step.sent
            for (before, after) in zip(exchanges, exchanges.dropFirst()) {
                guard let answer = before.answer, case .linearRing(_, let site, _) = before.operation,
                    after.request.microseconds >= answer.microseconds
                else { continue }
                gaps[site, default: []].append(after.request.microseconds - answer.microseconds)
            }
        }
        guard !gaps.isEmpty else { return nil }
        return gaps.values.reduce(0.0) { sum, all in sum + Double(all.sorted()[all.count / 2]) }
    }
}

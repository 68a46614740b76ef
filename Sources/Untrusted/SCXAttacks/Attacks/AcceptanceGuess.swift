import SCXInference
import SCXLink

/// Guesses how many drafted tokens were accepted in speculative decoding, from the row counts of consecutive steps.
///
/// A step with a draft of K tokens has K + 1 rows. The length of a draft depends on how many tokens of earlier drafts
/// were accepted, by a rule that everybody knows. So the lengths tell how many were accepted, and that tells how
/// predictable the text is. The attack is a Bayesian filter over the states that the rule may be in: how many tokens
/// each step accepted is a hypothesis, which the next row counts confirm or refute. Rounded row counts prevent this.
public struct AcceptanceGuess: Attack {
    public let name = "acceptance"
    /// The rule by which the length of drafts is chosen.
    public let rule: DraftRule

    /// Steps with more rows than this are not drafts.
    private static let longestDraft = 256

    public init(rule: DraftRule = DraftRule()) { self.rule = rule }

    public func run(on target: Target) throws(AttackError) -> Findings {
        let rounding = RowRounding(target.views)
        let steps = target.session.steps.filter { $0.isGeneration }.compactMap(\.ringRows)
        guard steps.contains(where: { $0 > rounding.least }) else {
            throw .nothingToAttack("no step with more rows than the fewest")
        }
        let drafted = steps.map { rounding.tokens($0).upperBound - 1 }
        let total = drafted.reduce(0, +)
        var accepted = Double(total) / 2
        if rounding == .exact, drafted.allSatisfy({ $0 <= Self.longestDraft }) {
            // The share of accepted tokens begins as a guess; then it is estimated from the steps.
            var rate = 0.5
            for _ in 0..<4 {
                (accepted, rate) = filter(drafted, rate: rate)
            }
        }
        var findings = Findings()
        findings.guesses = [
            NumberGuess(.acceptedTokens, accepted, in: 0...total),
            NumberGuess(
                .answerTokensByDrafts, Double(steps.count) + accepted,
                in: steps.count...steps.count + total),
        ]
        findings.measures = [
            Measure("steps", Double(steps.count)), Measure("tokens guessed ahead", Double(total)),
            Measure("of them accepted, likely", accepted),
        ]
        return findings
    }

    /// What may have happened so far.
    private struct Hypothesis {
        var rule: DraftRule
        var weight: Double
        /// Averages over all histories that lead here: how many tokens were accepted, and how many were tested.
        var accepted: Double
        var failures: Double
    }

    /// The expected number of accepted tokens, and their share of those that were tested.
    private func filter(_ drafted: [Int], rate: Double) -> (accepted: Double, rate: Double) {
        let rule = DraftRule(longest: min(rule.longest, max(1, drafted.max() ?? 1)))
        var hypotheses = [Hypothesis(rule: rule, weight: 1, accepted: 0, failures: 0)]
        for (step, count) in drafted.enumerated() {
            var next: [Int: Hypothesis] = [:]
            for one in hypotheses {
                for accepted in 0...count {
                    var changed = one.rule
                    changed.add(proposed: count, accepted: accepted)
                    var weight = one.weight * power(rate, Double(accepted))
                    if accepted < count { weight *= 1 - rate }
                    if step + 1 < drafted.count { weight *= likelihood(drafted[step + 1], changed.next) }
                    let new = Hypothesis(
                        rule: changed, weight: weight, accepted: one.accepted + Double(accepted),
                        failures: one.failures + (accepted < count ? 1 : 0))
                    merge(new, into: &next)
                }
            }
            let sum = next.values.reduce(0) { $0 + $1.weight }
            guard sum > 0 else { break }
            // Sorted, so that sums are the same in every run.
            hypotheses = next.sorted { $0.key < $1.key }.map { _, one in
                var one = one
                one.weight /= sum
                return one
            }
            hypotheses.removeAll { $0.weight < 1e-9 }
        }
        let accepted = hypotheses.reduce(0) { $0 + $1.weight * $1.accepted }
        let failures = hypotheses.reduce(0) { $0 + $1.weight * $1.failures }
        return (accepted, min(0.98, max(0.02, (accepted + 1) / (accepted + failures + 2))))
    }

    /// Merges hypotheses that the rule cannot distinguish any more.
    private func merge(_ new: Hypothesis, into all: inout [Int: Hypothesis]) {
        let key = Int((new.rule.mean * 64).rounded()) << 8 | new.rule.pause
        guard let old = all[key] else {
            all[key] = new
            return
        }
        let weight = old.weight + new.weight
        guard weight > 0 else { return }
        let share = new.weight / weight
        var sum = old
        sum.weight = weight
        sum.rule.mean += share * (new.rule.mean - old.rule.mean)
        sum.accepted += share * (new.accepted - old.accepted)
        sum.failures += share * (new.failures - old.failures)
        all[key] = sum
    }

    /// How likely a draft of this length is when the rule allows `allowed` tokens.
    private func likelihood(_ drafted: Int, _ allowed: Int) -> Double {
        if drafted == allowed { return 0.9 }
        // The drafting method may propose fewer tokens than the rule allows, and near the end there is room for fewer.
        return drafted < allowed ? 0.1 / Double(max(1, allowed)) : 1e-6
    }
}

/// The rule by which the engine chooses the lengths of drafts: an exponential mean of the number of accepted tokens.
///
/// The last draft has a quarter of the weight; one that was accepted whole counts twice. The next draft has one token
/// more than the mean, rounded up. Below 0.4 there is no draft for 16 steps.
public struct DraftRule: Equatable, Sendable {
    /// The most tokens of a draft.
    public var longest: Int
    public internal(set) var mean: Double
    /// How many further steps have no draft.
    public internal(set) var pause = 0

    public init(longest: Int = 16) {
        self.longest = longest
        mean = Double(min(longest, 2))
    }

    /// The most tokens of the next draft.
    public var next: Int { pause > 0 ? 0 : min(longest, Int(mean.rounded(.up)) + 1) }

    /// Updates the mean after a step.
    public mutating func add(proposed: Int, accepted: Int) {
        guard proposed > 0 else {
            pause = max(0, pause - 1)
            return
        }
        let counted = min(longest, accepted == proposed ? 2 * accepted : accepted)
        mean += (Double(counted) - mean) * 0.25
        if mean < 0.4 { pause = 16 }
    }
}

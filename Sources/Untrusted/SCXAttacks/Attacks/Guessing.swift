import SCXInference

/// Guesses what the model itself would write after the known tokens, without using the transcript.
///
/// It is not an attack but the reference for attacks: what an attack recovers beyond this comes from the transcript.
public struct Guessing: Attack {
    public let name = "guessing"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var findings = Findings()
        let prefix = Prefix(target.model)
        var logits: [Float] = []
        for position in 0..<min(target.session.length, target.configuration.maximumLength) {
            let guesses = logits.isEmpty ? [0] : topK(logits.span, ranks).map { Int32($0.index) }
            findings.positions[position] = guesses
            logits = try prefix.append(target.known[position] ?? guesses.first ?? 0)
            findings.candidatesTried += 1
        }
        return findings
    }
}

/// Guesses, at every position, the tokens that are most common in the attacker's own texts, without using the
/// transcript.
///
/// It is the reference for attacks that learn from texts: what they recover beyond this comes from the transcript.
public struct CommonestTokens: Attack {
    public let name = "commonest"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var counts: [Int32: Int] = [:]
        for token in target.own.flatMap(\.tokens) { counts[token, default: 0] += 1 }
        let ranked = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(ranks).map(\.key)
        guard !ranked.isEmpty else { throw .nothingToAttack("no texts of the attacker's own") }
        var findings = Findings()
        for position in 0..<min(target.session.length, target.configuration.maximumLength) {
            findings.positions[position] = ranked
        }
        return findings
    }
}

import SCXInference

/// Guesses what the model itself would write after the known tokens, without a look at any view.
///
/// No attack but its measure: what an attack recovers beyond this it owes to the transcript.
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

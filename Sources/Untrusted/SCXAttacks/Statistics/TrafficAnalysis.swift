import SCXInference
import SCXLink

/// Reads lengths and times, which no encoding of values hides.
///
/// A17: how many tokens a prompt and an answer have, how many more rows were sent than that, and how fast tokens
/// came.
public struct TrafficAnalysis: Attack {
    public let name = "traffic"

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let session = target.session
        guard let first = session.steps.first, let start = first.sent.first else {
            throw .nothingToAttack("no exchange")
        }
        let generated = session.steps.filter(\.isGeneration)
        let rows = first.sent.reduce(0) { max($0, $1.kind == .attention ? 0 : $1.rows.count) }
        let exchanges = session.steps.flatMap(\.sent)
        var findings = Findings()
        findings.measures = [
            Measure("tokens of the first prompt", Double(session.promptLength)),
            Measure("rows that it travelled as", Double(rows)),
            Measure("prompts", Double(session.steps.count - generated.count)),
            Measure("generated tokens", Double(generated.count)),
            Measure("exchanges", Double(exchanges.count)),
            Measure(
                "bytes received",
                exchanges.reduce(0) { $0 + Double($1.request.byteCount) }),
        ]
        if let end = exchanges.last {
            let elapsed = Double(end.request.microseconds - start.request.microseconds)
            findings.measures.append(Measure("milliseconds", elapsed / 1000))
        }
        return findings
    }
}

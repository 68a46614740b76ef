import SCXInference
import SCXLink

/// Averages the rows of sessions that have the same text, and compares the means with the vocabulary.
///
/// A10. When a text is sent several times, because a request is retried, edited or asked again, noise that is drawn
/// anew each time shrinks with the square root of that number. The attack needs rows whose order is known.
/// ``NearestInput`` is the matched filter for a single view; ``MaskPool`` breaks noise that is not drawn anew.
public struct NoiseAveraging: Attack {
    public let name = "averaging"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var sums: [Int: (row: [Float], count: Int)] = [:]
        let length = target.session.length
        for session in target.views.sessions where session.length == length {
            for step in session.steps {
                guard let exchange = step.first(.linear, layer: 0, site: .queryKeyValue),
                    exchange.rows.count == step.positions.count
                else { continue }
                let rows = try target.views.rows(of: exchange)
                for (i, position) in step.positions.enumerated() {
                    guard let sum = sums[position] else {
                        sums[position] = (Array(rows[i]), 1)
                        continue
                    }
                    sums[position] = (zip(sum.row, rows[i]).map { $0 + $1 }, sum.count + 1)
                }
            }
        }
        let positions = sums.keys.sorted()
        guard !positions.isEmpty else { throw .nothingToAttack("no rows of the first block in their order") }
        let means = positions.flatMap { position in
            sums[position].map { sum in sum.row.map { $0 / Float(sum.count) } } ?? []
        }
        let rows = Matrix(columns: target.configuration.hiddenSize, values: means)
        var findings = Findings()
        findings.add(try target.model.normedIndex().nearest(to: rows, count: ranks), positions: positions)
        findings.candidatesTried = rows.rows * target.model.vocabularySize
        findings.measures = [Measure("views averaged", Double(sums[positions[0]]?.count ?? 0))]
        return findings
    }
}

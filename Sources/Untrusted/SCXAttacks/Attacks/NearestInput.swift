import SCXInference
import SCXLink

/// Compares the rows that enter the first block with the vocabulary, and takes for each row the token whose input is
/// nearest.
///
/// This is the attack that Yuan and others tested themselves (SCX, SIGCOMM 2025, section 6.3), on rows of
/// `linear(0, queryKeyValue)`, or of `middle` when it begins with the first block. Noise moves a row away from its
/// token's row; finding the nearest is then a matched filter, which is the best for normal noise. If rows were
/// permuted, their order stays unknown.
public struct NearestInput: Attack {
    public let name = "nearest-input"
    /// How many candidates are kept for each row.
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var findings = Findings()
        let index = try target.model.normedIndex()
        for step in target.session.steps {
            let rows: Matrix
            var ordered = step.positions.count == 1
            if let exchange = step.first(.linear, layer: 0, site: .queryKeyValue) {
                rows = try target.views.rows(of: exchange)
            } else if let exchange = step.first(.middle), case .middle(let blocks, _) = exchange.operation,
                blocks.lowerBound == 0
            {
                rows = target.model.normed(try target.views.rows(of: exchange), block: 0)
                ordered = true
            } else {
                continue
            }
            let matches = index.nearest(to: rows, count: ranks)
            findings.candidatesTried += rows.rows * target.model.vocabularySize
            if ordered, rows.rows == step.positions.count {
                findings.add(matches, positions: step.positions)
            } else {
                findings.bag += matches.map { $0.map { Int32($0.row) } }
            }
        }
        guard findings.candidatesTried > 0 else {
            throw .nothingToAttack("no rows that enter the first block")
        }
        return findings
    }
}

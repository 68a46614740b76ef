import SCXInference
import SCXLink

/// Matches what enters the first block with the vocabulary: for each row the token whose input is nearest.
///
/// The attack that Yuan and others tested themselves (SCX, SIGCOMM 2025, section 6.3), on rows of
/// `linear(0, queryKeyValue)`, or of `middle` from the first block on. Noise moves a row away from its token; the
/// nearest is then the answer of a matched filter, the best there is for normal noise. Order stays unknown where rows
/// were permuted.
public struct NearestInput: Attack {
    public let name = "nearest-input"
    /// Ranks kept of each row.
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

import SCXInference
import SCXLink

/// Tests for each token whether its row is in the space that the observed rows span, which mixing rows does not
/// change.
///
/// A7, against mixing rows with each other and with shields as in GELO (<https://arxiv.org/abs/2603.05035>): the row
/// space of A·[H; S] contains every row of H, whatever A is, as long as there are fewer rows than channels. The first
/// block gives the set of tokens; a later block gives their order, by the search of ``VocabularyMatching``.
public struct RowSpace: Attack {
    public var name: String { layer == 0 ? "row-space" : "row-space-\(layer)" }
    /// The block whose mixed inputs are tested.
    public let layer: Int

    public init(layer: Int = 0) { self.layer = layer }

    public func run(on target: Target) throws(AttackError) -> Findings {
        var findings = Findings()
        var search = VocabularySearch(target.model, known: target.known)
        for step in target.session.steps {
            guard let exchange = step.first(.linear, layer: layer, site: .queryKeyValue) else { continue }
            let rows = try target.views.rows(of: exchange)
            guard rows.rows < rows.columns, rows.rows > 1 else { continue }
            var basis = Basis()
            for row in 0..<rows.rows { basis.add(rows[row]) }
            guard let space = basis.matrix else { continue }
            if layer > 0 {
                // It is not known how many rows are shields, so all are taken for tokens; the search ends by itself.
                let zero = Matrix(
                    rows: 1, columns: rows.columns, values: .init(repeating: 0, count: rows.columns))
                let observation = Observation(
                    .normed(layer), zero, step.positions, ordered: true, outside: space)
                let isWhole = try search.run(observation)
                findings = search.findings
                guard isWhole else { break }
                continue
            }
            let vocabulary = target.model.normedVocabulary()
            let inside = try vocabulary.multiplied(by: space, target.model.pool).squares
            let residuals = zip(vocabulary.squares, inside).map { all, inside in
                (max(0, all - inside) / max(all, .leastNormalMagnitude)).squareRoot()
            }
            findings.candidatesTried += vocabulary.rows
            let limit = 0.2 * residuals.sorted()[residuals.count / 2]
            let members = residuals.indices.filter { residuals[$0] < limit }
            findings.bag += members.sorted { residuals[$0] < residuals[$1] }.map { [Int32($0)] }
        }
        findings.candidatesTried = max(findings.candidatesTried, search.findings.candidatesTried)
        guard findings.candidatesTried > 0 else {
            throw .nothingToAttack("no rows of block \(layer) that are fewer than their channels")
        }
        return findings
    }
}

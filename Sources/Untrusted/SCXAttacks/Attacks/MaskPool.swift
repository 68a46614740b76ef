import SCXInference
import SCXLink

/// Learns the space spanned by a small pool of masks from known tokens, and identifies other rows by their parts
/// outside that space.
///
/// A11, against precomputed bases of masks (Saini and others, <https://arxiv.org/abs/2602.11088>). If each row is its
/// token's row plus a sum of P masks, the rows of P known tokens, minus the tokens' own rows, span the masks, and of
/// every other row d − P coordinates are in clear. A mask that is used twice is the case P = 1.
public struct MaskPool: Attack {
    public let name = "mask-pool"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var rows: [Int: ArraySlice<Float>] = [:]
        for step in target.session.steps {
            guard let exchange = step.first(.linear, layer: 0, site: .queryKeyValue) else { continue }
            let matrix = try target.views.rows(of: exchange)
            guard matrix.rows == step.positions.count else { continue }
            for (i, position) in step.positions.enumerated() { rows[position] = matrix[i] }
        }
        let vocabulary = target.model.normedVocabulary()
        var masks = Basis()
        var used = 0
        for (position, token) in target.known.sorted(by: { $0.key < $1.key }) {
            guard let row = rows[position] else { continue }
            used += 1
            let mask = zip(row, vocabulary[Int(token)]).map { $0 - $1 }
            masks.add(mask[...], tolerance: 1e-3)
        }
        guard used > 0, let space = masks.matrix else {
            throw .nothingToAttack("no known token among rows whose order is known")
        }
        let pool = target.model.pool
        let positions = rows.keys.sorted()
        let observed = Matrix(columns: vocabulary.columns, values: positions.flatMap { rows[$0] ?? [] })
        let index = try RowIndex(try vocabulary.outside(space, pool), pool: pool)
        let matches = index.nearest(to: try observed.outside(space, pool), count: ranks)
        var findings = Findings()
        findings.add(matches, positions: positions)
        findings.candidatesTried = observed.rows * vocabulary.rows
        findings.measures = [
            Measure("known rows", Double(used)), Measure("dimensions of their masks", Double(space.rows)),
        ]
        return findings
    }
}

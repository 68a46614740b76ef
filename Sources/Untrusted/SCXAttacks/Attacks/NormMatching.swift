import SCXInference
import SCXLink

/// Finds tokens by the lengths of their heads, which no rotation or reflection of a head changes.
///
/// A6. In the first block the lengths of all heads of values and keys, neither of which the position changes, are a
/// signature that is near unique for each token. Works on `attention` of the first block under any orthogonal map of
/// each head.
public struct NormMatching: Attack {
    public let name = "norms"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let (model, size) = (target.model, target.configuration.headSize)
        var vocabulary = model.projectedVocabulary()
        // Norms of heads come before the rotation, and with weights they change lengths: so they are applied.
        let anywhere = [Int](repeating: 0, count: vocabulary.rows)
        model.rotate(
            &vocabulary, block: 0, positions: anywhere, queryHeads: target.configuration.headCount)
        let all = vocabulary.normsOfGroups(of: size)
        let heads = target.configuration.headCount
        let withQueries = try RowIndex(all, pool: model.pool)
        let withoutQueries = try RowIndex(all.columns(heads..<all.columns), pool: model.pool)
        var findings = Findings()
        for exchange in target.session.steps.compactMap({ $0.first(.attention, layer: 0) }) {
            guard let rows = try target.views.attention(of: exchange), rows.keys.rows > 0 else { continue }
            let keys = rows.keys.normsOfGroups(of: size).besides(rows.values.normsOfGroups(of: size))
            findings.candidatesTried += keys.rows * model.vocabularySize
            let matches: [[RowIndex.Match]]
            if rows.queryPositions == rows.keyPositions {
                let queries = rows.queries.normsOfGroups(of: size)
                matches = withQueries.nearest(to: queries.besides(keys), count: ranks)
            } else {
                matches = withoutQueries.nearest(to: keys, count: ranks)
            }
            for (position, row) in zip(rows.keyPositions, matches) where findings.positions[position] == nil {
                findings.positions[position] = row.map { Int32($0.row) }
            }
        }
        guard findings.candidatesTried > 0 else {
            throw .nothingToAttack("no keys and values of the first block")
        }
        return findings
    }
}

extension Matrix {
    /// Rows that go on with those of another matrix.
    func besides(_ other: Matrix) -> Matrix {
        precondition(rows == other.rows, "Matrix: rows side by side")
        var out: [Float] = []
        out.reserveCapacity(values.count + other.values.count)
        for row in 0..<rows { out += self[row] + other[row] }
        return Matrix(rows: rows, columns: columns + other.columns, values: out)
    }
}

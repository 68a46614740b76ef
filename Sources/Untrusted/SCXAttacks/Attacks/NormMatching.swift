import SCXInference
import SCXLink

/// Finds tokens by the Euclidean norms of their heads, which no rotation or reflection of a head changes.
///
/// A6. In the first block the norms of all heads of values and keys, which do not depend on the position, identify
/// nearly every token. It works on `attention` of the first block under any orthogonal map of each head.
public struct NormMatching: Attack {
    public let name = "norms"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let (model, size) = (target.model, target.configuration.headSize)
        var vocabulary = model.projectedVocabulary()
        // If the family has norms of heads, these are applied before the rotation and, with their weights, change
        // lengths; so they are applied here too.
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
    /// Joins the rows with those of another matrix, side by side.
    func besides(_ other: Matrix) -> Matrix {
        precondition(rows == other.rows, "Matrix: rows side by side")
        var out: [Float] = []
        out.reserveCapacity(values.count + other.values.count)
        for row in 0..<rows { out += self[row] + other[row] }
        return Matrix(rows: rows, columns: columns + other.columns, values: out)
    }
}

import SCXInference
import SCXLink

/// Finds tokens by the sorted values of their heads, which a permutation of channels does not change.
///
/// A1. Kim's experiments with permuted activations broke STIP in this way
/// (<https://github.com/JiseungKim90/permutation-confidentiality-experiments>); the full sorted row is the maximal
/// invariant. It works on queries, keys and values of the first block's `attention`, whose rows are in natural order.
/// Values depend on the token alone. If several tokens have the same values, keys and queries, which also depend on
/// the position, decide between them.
public struct SortedValues: Attack {
    public let name = "sorted-values"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let (model, size) = (target.model, target.configuration.headSize)
        let projected = model.projectedVocabulary()
        let values = projected.columns(model.queryWidth + model.keyWidth..<projected.columns)
        let index = try RowIndex(values.sortingGroups(of: size), pool: model.pool)
        var findings = Findings()
        for exchange in target.session.steps.compactMap({ $0.first(.attention, layer: 0) }) {
            guard let rows = try target.views.attention(of: exchange), rows.keys.rows > 0 else { continue }
            let (keys, values) = (rows.keys.sortingGroups(of: size), rows.values.sortingGroups(of: size))
            let matches = index.nearest(to: values, count: ranks)
            findings.candidatesTried += values.rows * model.vocabularySize
            for (row, position) in rows.keyPositions.enumerated() where findings.positions[position] == nil {
                let candidates = matches[row].map { Int32($0.row) }
                var turned = projected.selecting(candidates.map { Int($0) })
                    .columns(model.queryWidth..<projected.columns)
                let positions = [Int](repeating: position, count: candidates.count)
                model.rotate(&turned, block: 0, positions: positions, queryHeads: 0)
                let sorted = turned.columns(0..<model.keyWidth).sortingGroups(of: size)
                let distances = zip(matches[row], 0..<sorted.rows).map { match, i in
                    match.distance + distance(sorted[i], keys[row])
                }
                let order = distances.indices.sorted { distances[$0] < distances[$1] }
                findings.positions[position] = order.map { candidates[$0] }
            }
        }
        guard findings.candidatesTried > 0 else {
            throw .nothingToAttack("no keys and values of the first block")
        }
        return findings
    }
}

import SCXInference
import SCXLink

/// Finds tokens one after the other by attention scores, which an orthogonal map of each head does not change.
///
/// A6. In the first block the score of positions i and j is a function of their tokens and of i − j. When the tokens
/// before i are known, each candidate for i predicts a row of scores over all heads, and the candidate whose row is
/// nearest is taken. The attack works on `attention` of the first block, of which it uses only products of queries
/// and keys, so on anything that leaves those unchanged.
public struct ScoreWalk: Attack {
    public let name = "scores"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let (model, c) = (target.model, target.configuration)
        guard let exchange = target.session.steps.lazy.compactMap({ $0.first(.attention, layer: 0) }).first,
            let rows = try target.views.attention(of: exchange), rows.queryPositions == rows.keyPositions,
            rows.keyPositions.lowerBound == 0
        else { throw .nothingToAttack("no queries and keys of the first block from the first position on") }
        var findings = Findings()
        let heads = c.headCount
        // The keys of the tokens found so far, after the rotation: [position, keyValueHeads · headSize].
        var found: [Float] = []
        for position in rows.keyPositions {
            let i = position - rows.keyPositions.lowerBound
            let observed = scores(rows.queries.selecting([i]), rows.keys.selecting(0...i), c.headSize, heads)
            var candidates = model.projectedVocabulary()
            let positions = [Int](repeating: position, count: candidates.rows)
            model.rotate(&candidates, block: 0, positions: positions, queryHeads: heads)
            // The scores with earlier keys, then each candidate's score with its own key.
            var predicted = candidates.columns(0..<model.queryWidth)
            let own = selfScores(candidates, c.headSize, heads, c.keyValueHeadCount)
            if i > 0 {
                let keys = Matrix(rows: i, columns: model.keyWidth, values: found)
                predicted = try self.predicted(predicted, keys, target).besides(own)
            } else {
                predicted = own
            }
            let matches = try RowIndex(predicted, pool: model.pool).nearest(
                to: reordered(observed, keys: i + 1, heads: heads), count: ranks)[0]
            findings.candidatesTried += model.vocabularySize
            findings.positions[position] = matches.map { Int32($0.row) }
            let best = target.known[position].map { Int($0) } ?? matches.first?.row ?? 0
            found += candidates[best].dropFirst(model.queryWidth).prefix(model.keyWidth)
        }
        return findings
    }

    /// `[heads, keys]` products of one row of queries with rows of keys.
    private func scores(_ query: Matrix, _ keys: Matrix, _ size: Int, _ heads: Int) -> [Float] {
        let perKey = heads / (keys.columns / size)
        var out: [Float] = []
        for head in 0..<heads {
            let q = query.values[head * size..<(head + 1) * size]
            for row in 0..<keys.rows {
                let start = row * keys.columns + head / perKey * size
                out.append(zip(q, keys.values[start..<start + size]).reduce(0) { $0 + $1.0 * $1.1 })
            }
        }
        return out
    }

    /// The observed scores in the order of ``predicted(_:_:_:)`` and ``selfScores(_:_:_:_:)``, in which a token's own
    /// scores are last.
    private func reordered(_ scores: [Float], keys: Int, heads: Int) -> Matrix {
        var out: [Float] = []
        for head in 0..<heads { out += scores[head * keys..<(head + 1) * keys - 1] }
        for head in 0..<heads { out.append(scores[(head + 1) * keys - 1]) }
        return Matrix(rows: 1, columns: out.count, values: out)
    }

    /// The products of each candidate's queries with its own keys, `[candidates, heads]`.
    private func selfScores(_ rows: Matrix, _ size: Int, _ heads: Int, _ kvHeads: Int) -> Matrix {
        var out: [Float] = []
        out.reserveCapacity(rows.rows * heads)
        let perKey = heads / kvHeads
        for row in 0..<rows.rows {
            let start = row * rows.columns
            for head in 0..<heads {
                let (q, k) = (start + head * size, start + (heads + head / perKey) * size)
                var sum: Float = 0
                for channel in 0..<size { sum += rows.values[q + channel] * rows.values[k + channel] }
                out.append(sum)
            }
        }
        return Matrix(rows: rows.rows, columns: heads, values: out)
    }

    /// The products of each candidate's queries with earlier keys, `[candidates, heads · keys]`.
    private func predicted(
        _ queries: Matrix, _ keys: Matrix, _ target: Target
    ) throws(AttackError) -> Matrix {
        let (c, size) = (target.configuration, target.configuration.headSize)
        let perKey = c.headCount / c.keyValueHeadCount
        // One matrix with each head's keys in that head's channels, and zeros elsewhere.
        var weights = [Float](repeating: 0, count: c.headCount * keys.rows * queries.columns)
        for head in 0..<c.headCount {
            for row in 0..<keys.rows {
                let from = row * keys.columns + head / perKey * size
                let to = (head * keys.rows + row) * queries.columns + head * size
                for channel in 0..<size { weights[to + channel] = keys.values[from + channel] }
            }
        }
        return try queries.multiplied(
            by: Matrix(rows: c.headCount * keys.rows, columns: queries.columns, values: weights),
            target.model.pool)
    }
}

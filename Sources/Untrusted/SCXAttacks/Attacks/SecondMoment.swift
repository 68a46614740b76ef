import SCXInference
import SCXLink

/// Computes how often each token occurs from the second moment of the rows, which orthogonal mixing of rows does not
/// change.
///
/// A8. For orthogonal A, (A·H)ᵀ(A·H) = HᵀH = Σ c(v)·e(v)e(v)ᵀ over the tokens v, which gives one linear equation for
/// each token: `Σ_u (e(u)·e(v))² c(u) = ‖(A·H) e(v)‖²`. A row permutation is such an A. The equations are solved for
/// counts that are not negative.
public struct SecondMoment: Attack {
    public let name = "second-moment"
    /// The most tokens in the equations; those with the largest right sides are taken.
    private let limit = 4096

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        guard
            let exchange = target.session.steps.lazy.compactMap({
                $0.first(.linear, layer: 0, site: .queryKeyValue)
            }).first(where: { $0.request.rows > 1 })
        else { throw .nothingToAttack("no several rows that enter the first block") }
        let rows = try target.views.rows(of: exchange)
        let vocabulary = target.model.normedVocabulary()
        let projections = try vocabulary.multiplied(by: rows, target.model.pool)
        let moments = zip(projections.squares, vocabulary.squares).map { $0 / max($1, .leastNormalMagnitude) }
        let tokens = Array(moments.indices.sorted { moments[$0] > moments[$1] }.prefix(limit))
        let table = vocabulary.selecting(tokens)
        let products = try table.multiplied(by: table, target.model.pool)
        let counts = solve(
            products.values.map { $0 * $0 }, tokens.map { projections[$0].reduce(0) { $0 + $1 * $1 } })
        var findings = Findings()
        findings.candidatesTried = tokens.count
        for i in counts.indices.sorted(by: { counts[$0] > counts[$1] }) {
            // There are as many rows as tokens that made them, including redundant ones.
            let left = rows.rows - findings.bag.count
            let count = Int(min(max(0, counts[i].rounded()), Float(left)))
            guard count > 0 else { break }
            findings.bag += [[Int32]](repeating: [Int32(tokens[i])], count: count)
        }
        return findings
    }

    /// The counts c ≥ 0 for which K c is nearest to b, by coordinate descent.
    private func solve(_ k: [Float], _ b: [Float]) -> [Float] {
        let n = b.count
        var counts = [Float](repeating: 0, count: n)
        var rest = b
        for _ in 0..<60 {
            var largest: Float = 0
            for j in 0..<n {
                let diagonal = k[j * n + j]
                guard diagonal > 0 else { continue }
                let change = max(-counts[j], rest[j] / diagonal)
                // Counts will be rounded, so a small change is not worth computing with a row of K.
                guard abs(change) > 1e-3 else { continue }
                counts[j] += change
                largest = max(largest, abs(change))
                for i in 0..<n { rest[i] -= change * k[j * n + i] }
            }
            if largest < 5e-3 { break }
        }
        return counts
    }
}

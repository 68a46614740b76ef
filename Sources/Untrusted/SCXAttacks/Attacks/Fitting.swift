import SCXInference
import SCXLink

/// Fits a map from encoded rows to inputs on sessions of the attacker's own, and applies it to the session under
/// attack.
///
/// This is the fitting attack of SCX (SIGCOMM 2025, section 6.3). Its surrogate of two linear layers is a linear map,
/// whose best values ridge regression gives directly. The attack breaks a fixed key, but not a new key for each
/// session.
public struct Fitting: Attack {
    public let name = "fitting"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let vocabulary = target.model.normedVocabulary()
        let width = vocabulary.columns
        var (encoded, plain): ([Float], [Float]) = ([], [])
        for (session, tokens) in target.own {
            for (position, row) in try rows(session, target) {
                guard tokens.indices.contains(position), (0..<vocabulary.rows).contains(Int(tokens[position]))
                else { continue }
                encoded += row
                plain += vocabulary[Int(tokens[position])]
            }
        }
        let observed = try rows(target.session, target)
        guard !encoded.isEmpty, !observed.isEmpty else {
            throw .nothingToAttack("no pairs of rows and tokens to learn from")
        }
        let pool = target.model.pool
        let x = Matrix(columns: width, values: encoded)
        let pairs = x.rows
        // (XᵀX + λ) M = XᵀY, or in terms of the rows of X if these are fewer.
        let gram =
            try pairs < width ? x.multiplied(by: x, pool) : x.transposed.multiplied(by: x.transposed, pool)
        guard let factor = Cholesky(gram.values.map { Double($0) }, size: gram.rows, ridge: 1e-5) else {
            throw .nothingToAttack("the rows to learn from are not independent")
        }
        let y = Matrix(columns: width, values: plain)
        let fresh = Matrix(columns: width, values: observed.flatMap(\.row))
        // Each new row is a combination of the rows on which the map was fitted; its input is the same combination of
        // theirs.
        var weights: [Float] = []
        for row in 0..<fresh.rows {
            if pairs < width {
                let products = try fresh.selecting([row]).multiplied(by: x, pool)
                weights += factor.solve(products.values.map { Double($0) }).map { Float($0) }
            } else {
                let solved = factor.solve(fresh[row].map { Double($0) }).map { Float($0) }
                let solution = Matrix(rows: 1, columns: width, values: solved)
                weights += try solution.multiplied(by: x, pool).values
            }
        }
        let guesses = try Matrix(rows: fresh.rows, columns: pairs, values: weights).multiplied(
            by: y.transposed, pool)
        var findings = Findings()
        findings.add(
            try target.model.normedIndex().nearest(to: guesses, count: ranks),
            positions: observed.map(\.position))
        findings.candidatesTried = fresh.rows * vocabulary.rows
        findings.measures = [Measure("pairs learnt from", Double(pairs))]
        return findings
    }

    /// The rows that enter the first block and whose positions are known.
    private func rows(
        _ session: Session, _ target: Target
    ) throws(AttackError) -> [(position: Int, row: ArraySlice<Float>)] {
        var found: [(position: Int, row: ArraySlice<Float>)] = []
        for step in session.steps {
            guard let exchange = step.first(.linear, layer: 0, site: .queryKeyValue),
                exchange.rows.count == step.positions.count
            else { continue }
            let rows = try target.views.rows(of: exchange)
            for (i, position) in step.positions.enumerated() { found.append((position, rows[i])) }
        }
        return found
    }
}

import SCXInference
import SCXLink

/// Computes a block's input from its keys and values, which are linear in it, and finds the nearest token.
///
/// A5, the inversion attack of "Shadow in the Cache", NDSS 2026 (<https://arxiv.org/abs/2508.09442>). If there are as
/// many channels of keys and values as of hidden states, the input is exact; if there are fewer, it is the shortest
/// input that fits. Inputs of the first block identify tokens. Inputs of later blocks are compared with what each
/// token alone gives after the first known ones, without a search along the sequence.
public struct KeyValueInversion: Attack {
    public let name = "kv-inversion"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var findings = Findings()
        var solvers: [Int: (solve: Solver, index: RowIndex)] = [:]
        for step in target.session.steps {
            for exchange in step.exchanges {
                guard let (layer, rows) = try target.views.unlocked(exchange, in: step),
                    rows.rows == step.positions.count
                else { continue }
                let (solver, index): (Solver, RowIndex)
                if let ready = solvers[layer] {
                    (solver, index) = ready
                } else {
                    (solver, index) = try prepare(layer, target)
                }
                solvers[layer] = (solver, index)
                let matches = index.nearest(to: try solver.inputs(rows), count: ranks)
                findings.candidatesTried += rows.rows * target.model.vocabularySize
                findings.add(matches, positions: step.positions)
                break  // the lowest shared block says most
            }
        }
        guard findings.candidatesTried > 0 else { throw .nothingToAttack("no keys and values were shared") }
        return findings
    }

    private func prepare(
        _ layer: Int, _ target: Target
    ) throws(AttackError) -> (Solver, RowIndex) {
        let solver = try Solver(target.model, layer: layer)
        guard layer > 0 else { return (solver, try target.model.normedIndex()) }
        let prefix = Prefix(target.model)
        var position = 0
        while let token = target.known[position] {
            try prefix.append(token)
            position += 1
        }
        let all = (0..<target.model.vocabularySize).map { Int32($0) }
        var values: [Float] = []
        for first in stride(from: 0, to: all.count, by: 1024) {
            values += try prefix.rows(
                of: Array(all[first..<min(first + 1024, all.count)]), at: .normed(layer)
            )
            .values
        }
        let bank = Matrix(columns: target.configuration.hiddenSize, values: values)
        return (solver, try RowIndex(bank, pool: target.model.pool))
    }

    /// Finds the inputs whose keys and values are nearest to given ones.
    private struct Solver {
        private let weights: Matrix
        private let bias: [Float]
        private let factor: Cholesky
        private let pool: ThreadPool
        /// Whether there are at least as many equations as unknowns.
        private let isTall: Bool

        init(_ model: PublicModel, layer: Int) throws(AttackError) {
            (weights, bias) = try model.keyValueWeights(block: layer)
            pool = model.pool
            isTall = weights.rows >= weights.columns
            let w = isTall ? weights.transposed : weights
            let gram = try w.multiplied(by: w, pool)
            guard let factor = Cholesky(gram.values.map { Double($0) }, size: gram.rows, ridge: 1e-6) else {
                throw .nothingToAttack("the weights of block \(layer) cannot be inverted")
            }
            self.factor = factor
        }

        func inputs(_ rows: Matrix) throws(AttackError) -> Matrix {
            let transposed = weights.transposed
            let rows = rows.subtracting(bias)
            // If tall, the inverse is (WᵀW)⁻¹ Wᵀ y, else Wᵀ (W Wᵀ)⁻¹ y.
            let right = isTall ? try rows.multiplied(by: transposed, pool) : rows
            var solved: [Float] = []
            for row in 0..<right.rows {
                solved += factor.solve(right[row].map { Double($0) }).map { Float($0) }
            }
            let solution = Matrix(rows: right.rows, columns: right.columns, values: solved)
            return isTall ? solution : try solution.multiplied(by: transposed, pool)
        }
    }
}

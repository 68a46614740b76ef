import SCXInference
import SCXLink

/// Predicts the next token from hidden states near the model's end, by the final norm and the head, which are public.
///
/// A15, after nostalgebraist, "interpreting GPT: the logit lens" (2020). The best state is that of the last block's
/// `feedForward` request: the secret factor on its row is found as the one that brings the row nearest to the state
/// that `middle` answered, and the block can then be computed to its end. The next best is the state that `middle`
/// answered. Rows of `headTopK` give continuations of every position, in unknown order.
public struct LogitLens: Attack {
    public let name = "logit-lens"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var findings = Findings()
        var workspace = Workspace()
        for step in target.session.steps {
            if let rows = try states(step, target, &workspace) {
                for (position, tokens) in zip(step.positions, ranked(rows, target, &workspace)) {
                    findings.positions[position + 1] = tokens
                }
                findings.candidatesTried += rows.rows
            } else if let exchange = step.first(.headTopK) {
                let rows = try target.views.rows(of: exchange)
                let tokens = ranked(rows, target, &workspace)
                findings.candidatesTried += rows.rows
                if rows.rows == step.positions.count, rows.rows == 1 {
                    findings.positions[step.positions.upperBound] = tokens[0]
                } else {
                    findings.bag += tokens
                }
            }
        }
        guard findings.candidatesTried > 0 else { throw .nothingToAttack("no hidden states near the end") }
        return findings
    }

    /// The step's states, as near to the model's end as possible, in the order of its positions.
    private func states(
        _ step: Step, _ target: Target, _ workspace: inout Workspace
    ) throws(AttackError) -> Matrix? {
        let last = target.configuration.blockCount - 1
        let state: Matrix
        if let middle = step.exchanges.last(where: { $0.kind == .middle }),
            let answer = try target.views.answer(of: middle), answer.rows == step.positions.count,
            answer.columns == target.configuration.hiddenSize
        {
            state = answer
        } else if let latest = step.exchanges.last(where: { $0.kind == .feedForward && $0.layer != last }),
            let layer = latest.layer, latest.rows.count == 1, step.positions.count == 1
        {
            // If no block is shared, the rows of feed-forward networks are in clear, up to those of the protected
            // last blocks.
            state = finished(try target.views.rows(of: latest), target, block: layer, &workspace)
        } else {
            return nil
        }
        guard let exchange = step.exchanges.last(where: { $0.kind == .feedForward && $0.layer == last }),
            state.rows == 1
        else { return state }
        let row = try target.views.rows(of: exchange)
        guard row.rows == 1 else { return state }
        // The residual stream changes little in one block, so the factor is found by least squares.
        var (product, square): (Float, Float) = (0, 0)
        for (x, m) in zip(row.values, state.values) {
            product += x * m
            square += m * m
        }
        guard product != 0, square != 0 else { return state }
        let hidden = Matrix(columns: row.columns, values: row.values.map { $0 * (square / product) })
        return finished(hidden, target, block: last, &workspace)
    }

    /// Adds to rows what a block's feed-forward network computes.
    private func finished(
        _ rows: Matrix, _ target: Target, block: Int, _ workspace: inout Workspace
    ) -> Matrix {
        let update = target.model.decoder.feedForward(rows.values.span, block: block, workspace: &workspace)
        return Matrix(columns: rows.columns, values: zip(rows.values, update).map { $0 + $1 })
    }

    private func ranked(_ rows: Matrix, _ target: Target, _ workspace: inout Workspace) -> [[Int32]] {
        var all: [[Int32]] = []
        let vocabulary = target.model.vocabularySize
        for first in stride(from: 0, to: rows.rows, by: 64) {
            let chunk = rows.selecting(first..<min(first + 64, rows.rows))
            let logits = target.model.decoder.logits(chunk.values.span, workspace: &workspace)
            for row in 0..<chunk.rows {
                let best = topK(logits.span.extracting(row * vocabulary..<(row + 1) * vocabulary), ranks)
                all.append(best.map { Int32($0.index) })
            }
        }
        return all
    }
}

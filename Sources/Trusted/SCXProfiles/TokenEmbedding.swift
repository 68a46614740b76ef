package import SCXEncoding
package import SCXInference

/// What the trusted side computes at both ends of a model: the embedding before the blocks, the final norm after
/// them.
///
/// The embedding table is read from the checkpoint's file row by row. It stays on the trusted side, since a token's
/// row identifies the token.
package struct TokenEmbedding: Sendable {
    private let table: StoredTensor
    /// The vectors of learned positions, for families that have them.
    private let positions: StoredTensor?
    private let scale: Float
    private let finalNorm: HiddenNorm
    package let vocabularySize: Int
    package let channels: Int

    /// Opens the table and the final norm of a checkpoint.
    ///
    /// - Throws: ``CheckpointError`` when a tensor is missing or has another shape than the configuration says.
    package init(_ checkpoint: Checkpoint) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        vocabularySize = configuration.vocabularySize
        channels = configuration.hiddenSize
        table = try checkpoint.tensor(configuration.embeddingName, shape: [vocabularySize, channels])
        positions =
            configuration.learnedPositions
            ? try checkpoint.tensor(
                configuration.positionsName, shape: [configuration.maximumLength, channels]) : nil
        scale = configuration.embeddingScale
        finalNorm = try HiddenNorm(final: checkpoint)
    }

    /// The embedded tokens, one row each.
    ///
    /// - Parameters:
    ///   - tokens: The tokens.
    ///   - positions: The position of each in its sequence.
    /// - Returns: `[tokens, channels]`
    /// - Precondition: Every token is in `0..<vocabularySize`, and every position is one of the model's.
    package func rows(of tokens: [Int32], at positions: some Collection<Int>) -> Plaintext {
        precondition(positions.count == tokens.count, "TokenEmbedding: not a position for each token")
        var rows = rows(of: tokens)
        guard let table = self.positions else { return rows }
        var vector = [Float](repeating: 0, count: channels)
        for (i, position) in positions.enumerated() {
            var span = vector.mutableSpan
            table.row(position, into: &span)
            rows.withRow(i) { row in
                for c in row.indices { row[c] += vector[c] }
            }
        }
        return rows
    }

    /// The embedded tokens, one row each, without learned positions.
    ///
    /// - Precondition: Every token is in `0..<vocabularySize`.
    package func rows(of tokens: [Int32]) -> Plaintext {
        var rows = Plaintext(rows: tokens.count, channels: channels)
        for (i, token) in tokens.enumerated() {
            rows.withRow(i) { row in
                table.row(Int(token), into: &row)
                guard scale != 1 else { return }
                for c in row.indices { row[c] *= scale }
            }
        }
        return rows
    }

    /// The sum of hidden states after the final norm.
    ///
    /// - Parameter hidden: `[rows, channels]`, after the last block.
    /// - Returns: `[channels]`
    package func normedSum(_ hidden: Span<Float>) -> [Float] {
        var normed = Plaintext(rows: hidden.count / channels, channels: channels)
        var span = normed.values
        finalNorm.apply(hidden, into: &span)
        var sum = [Float](repeating: 0, count: channels)
        let rows = normed.span
        for row in 0..<normed.rows {
            for c in 0..<channels { sum[c] += rows[row * channels + c] }
        }
        return sum
    }
}

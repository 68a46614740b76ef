package import SCXEncoding
package import SCXInference

/// What the trusted side computes at both ends of a model: the embedding before the blocks, the final norm after
/// them.
///
/// The embedding table is read from the checkpoint's file row by row. It stays on the trusted side, since a token's
/// row identifies the token.
package struct TokenEmbedding: Sendable {
    private let table: StoredTensor
    private let finalNorm: [Float]
    private let normEpsilon: Float
    package let vocabularySize: Int
    package let channels: Int

    /// Opens the table and the final norm of a checkpoint.
    ///
    /// - Throws: ``CheckpointError`` when a tensor is missing or has another shape than the configuration says.
    package init(_ checkpoint: Checkpoint) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        vocabularySize = configuration.vocabularySize
        channels = configuration.hiddenSize
        table = try checkpoint.tensor(
            DecoderConfiguration.embeddingName, shape: [vocabularySize, channels])
        finalNorm = try checkpoint.tensor(DecoderConfiguration.finalNormName, shape: [channels]).values()
        normEpsilon = configuration.normEpsilon
    }

    /// The embedded tokens, one row each.
    ///
    /// - Precondition: Every token is in `0..<vocabularySize`.
    package func rows(of tokens: [Int32]) -> Plaintext {
        var rows = Plaintext(rows: tokens.count, channels: channels)
        for (i, token) in tokens.enumerated() {
            rows.withRow(i) { table.row(Int(token), into: &$0) }
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
        rmsNorm(hidden, weight: finalNorm.span, epsilon: normEpsilon, into: &span)
        var sum = [Float](repeating: 0, count: channels)
        let rows = normed.span
        for row in 0..<normed.rows {
            for c in 0..<channels { sum[c] += rows[row * channels + c] }
        }
        return sum
    }
}

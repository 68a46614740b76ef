package import SCXEncoding
package import SCXInference

/// The embedding table, read from the checkpoint's file row by row.
///
/// It stays on the trusted side, since a token's row tells the token.
package struct TokenEmbedding: Sendable {
    private let table: StoredTensor
    package let vocabularySize: Int
    package let channels: Int

    /// - Throws: ``CheckpointError`` when the table is missing or has another shape than the configuration says.
    package init(_ checkpoint: Checkpoint) throws(CheckpointError) {
        vocabularySize = checkpoint.configuration.vocabularySize
        channels = checkpoint.configuration.hiddenSize
        table = try checkpoint.tensor(
            DecoderConfiguration.embeddingName, shape: [vocabularySize, channels])
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
}

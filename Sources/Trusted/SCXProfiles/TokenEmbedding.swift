package import SCXEncoding
package import SCXInference

/// What the trusted side computes at both ends of a model: the embedding before the blocks, the final norm after
/// them.
///
/// The embedding table is read from the checkpoint's file row by row. It stays on the trusted side, since a token's
/// row identifies the token.
package struct TokenEmbedding: Sendable {
    /// Nil in a model that takes no tokens.
    private let table: StoredTensor?
    /// The vectors of learned positions, for families that have them.
    private let positions: StoredTensor?
    /// How many rows of that table come before that of the first token; see
    /// `DecoderConfiguration.positionOffset`.
    private let positionOffset: Int
    /// The vectors of token kinds, for families that have them.
    private let kinds: StoredTensor?
    private let scale: Float
    private let norm: HiddenNorm
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
        table =
            vocabularySize > 0
            ? try checkpoint.tensor(configuration.embeddingName, shape: [vocabularySize, channels]) : nil
        positions =
            configuration.learnedPositions
            ? try checkpoint.tensor(
                configuration.positionsName, shape: [configuration.positionRows, channels]) : nil
        positionOffset = configuration.positionOffset
        kinds =
            configuration.tokenTypeCount > 0
            ? try checkpoint.tensor(
                configuration.tokenTypesName, shape: [configuration.tokenTypeCount, channels]) : nil
        scale = configuration.embeddingScale
        norm = try HiddenNorm(embedding: checkpoint)
        finalNorm = try HiddenNorm(final: checkpoint)
    }

    /// The embedded tokens of segments, one row each.
    ///
    /// - Parameter segments: For each its tokens, the position of the first of them, and the kind of each token or
    ///   nothing where all are of kind 0.
    /// - Returns: `[tokens of all segments, channels]`
    /// - Precondition: Every token is in `0..<vocabularySize`, every position is one of the model's, and so is every kind
    ///   that is not 0.
    package func rows(
        of segments: some Collection<(tokens: ArraySlice<Int32>, position: Int, kinds: [Int32])>
    ) -> Plaintext {
        var rows = rows(of: segments.flatMap(\.tokens))
        var first = 0
        for segment in segments {
            if let positions {
                let indices = rowsOfPositions(segment.tokens, from: segment.position)
                add(positions, indices, to: &rows, from: first)
            }
            if let kinds {
                precondition(
                    segment.kinds.isEmpty || segment.kinds.count == segment.tokens.count,
                    "TokenEmbedding: not a kind for each token")
                let indices =
                    segment.kinds.isEmpty
                    ? Array(repeating: 0, count: segment.tokens.count) : segment.kinds.map { Int($0) }
                add(kinds, indices, to: &rows, from: first)
            }
            first += segment.tokens.count
        }
        var values = rows.values
        norm.apply(to: &values, pool: nil)
        return rows
    }

    /// The rows of the table of positions that belong to tokens.
    private func rowsOfPositions(_ tokens: ArraySlice<Int32>, from position: Int) -> [Int] {
        guard positionOffset > 0 else { return Array(position..<position + tokens.count) }
        // As transformers counts: padding tokens that a text spells out take no position.
        var next = position + positionOffset
        return tokens.map { token in
            if Int(token) == positionOffset - 1 { return positionOffset - 1 }
            defer { next += 1 }
            return next
        }
    }

    /// Adds rows of a table to rows from `first` on.
    private func add(_ table: StoredTensor, _ indices: [Int], to rows: inout Plaintext, from first: Int) {
        var vector = [Float](repeating: 0, count: channels)
        for (i, index) in indices.enumerated() {
            var span = vector.mutableSpan
            table.row(index, into: &span)
            rows.withRow(first + i) { row in
                for c in row.indices { row[c] += vector[c] }
            }
        }
    }

    /// The embedded tokens, one row each, without learned positions, kinds and norm.
    ///
    /// - Precondition: Every token is in `0..<vocabularySize`.
    package func rows(of tokens: [Int32]) -> Plaintext {
        guard let table else { preconditionFailure("TokenEmbedding: a model without tokens") }
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

    /// Hidden states after the final norm.
    ///
    /// - Parameter hidden: `[rows, channels]`, after the last block.
    /// - Returns: `[rows, channels]`
    package func normed(_ hidden: Span<Float>) -> [Float] {
        unsafe [Float](unsafeUninitializedCapacity: hidden.count) { buffer, count in
            // The norm writes all elements, so they need not be initialised before.
            var span = unsafe MutableSpan(
                _unsafeElements: UnsafeMutableBufferPointer(rebasing: buffer[..<hidden.count]))
            finalNorm.apply(hidden, into: &span)
            count = hidden.count
        }
    }
}

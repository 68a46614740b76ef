import SCXInference
import SCXLink
import SCXProfiles

extension Engine {
    /// Computes the logits after each token of a text.
    ///
    /// - Returns: `[tokens, vocabulary]`, row-major.
    /// - Throws: ``EngineError`` for a prompt that the model cannot take, ``LinkError`` when an exchange fails.
    package func logits(of tokens: [Int32]) throws -> [Float] {
        var logits: [Float] = []
        logits.reserveCapacity(tokens.count * vocabularySize)
        try score(tokens) { _, rows in logits += rows }
        return logits
    }

    /// Computes the natural logarithm of each token's probability given all tokens before it; the first token has none.
    ///
    /// - Throws: As ``logits(of:)``.
    package func logLikelihoods(of tokens: [Int32]) throws -> [Double] {
        var likelihoods: [Double] = []
        try score(tokens) { first, rows in
            for row in 0..<rows.count / vocabularySize where first + row + 1 < tokens.count {
                let logits = rows.span.extracting(row * vocabularySize..<(row + 1) * vocabularySize)
                let next = logits[Int(tokens[first + row + 1])]
                likelihoods.append(Double(next) - Double(logSumExp(logits)))
            }
        }
        return likelihoods
    }

    /// Computes a text in a slot of its own, in parts of at most 128 tokens so that the logits of a part fit in memory.
    private func score(_ tokens: [Int32], _ take: (_ first: Int, _ rows: [Float]) -> Void) throws {
        try check(tokens)
        guard forward.generates else { throw EngineError.cannotGenerate }
        let slot = reserveSlot()
        // A prompt that cannot be split has the logits of all its tokens in memory at once.
        let part = forward.splitsPrompts ? 128 : tokens.count
        for first in stride(from: 0, to: tokens.count, by: part) {
            let segment = BatchSegment(
                slot: slot, position: first, tokens: Array(tokens[first..<min(first + part, tokens.count)]),
                output: .allLogits)
            take(first, try forward.compute(segment))
        }
        try forward.end(slot)
    }
}

import Foundation

/// Computes the log-probabilities of given tokens, such as those of a prompt.
///
/// - Parameters:
///   - tokens: The token that follows each row; the last row may be without one.
///   - logits: `[rows, vocabulary]`, row-major.
///   - vocabulary: Number of logits of a row.
///   - alternatives: How many of the likeliest tokens to report with each token.
/// - Returns: One entry for each token.
func scores(
    of tokens: some Sequence<Int32>, logits: Span<Float>, vocabulary: Int, alternatives: Int
) -> [SampledToken] {
    var buffer = LogitBuffer()
    return tokens.enumerated().map { row, token in
        let logits = logits.extracting(row * vocabulary..<(row + 1) * vocabulary)
        buffer.load(logits)
        let best = buffer.best()?.logit ?? 0
        let normalizer = best + Float(log(buffer.weigh(relativeTo: best, scale: 1)))
        let top = buffer.largest(alternatives).map { TokenLogprob(id: $0, logprob: buffer[$0] - normalizer) }
        return SampledToken(id: token, logprob: buffer[token] - normalizer, top: top)
    }
}

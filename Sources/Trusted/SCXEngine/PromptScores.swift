import Foundation

/// The log-probabilities of tokens that are given, where a sampler would draw some.
///
/// - Parameters:
///   - tokens: The token that follows each row; of the last row there may be none.
///   - logits: `[rows, vocabulary]`, row-major.
///   - vocabulary: Logits of a row.
///   - alternatives: How many of the likeliest tokens to name with each.
/// - Returns: One for each token.
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

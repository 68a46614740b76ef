/// How the next token is drawn from the logits.
///
/// The defaults draw from the model's own distribution.
package struct SamplingParameters: Equatable, Sendable {
    /// All logits are divided by the temperature; with 0 the likeliest token is taken.
    package var temperature: Float = 1
    /// Only this number of likeliest tokens can be drawn; 0 for all.
    package var topK = 0
    /// Only the likeliest tokens whose probabilities sum to this value can be drawn; 1 for all.
    package var topP: Float = 1
    /// Only tokens with at least this fraction of the likeliest token's probability can be drawn; 0 for all.
    package var minP: Float = 0
    /// For tokens that occur in the prompt or the answer, a positive logit is divided by this value, and any other
    /// multiplied by it.
    package var repetitionPenalty: Float = 1
    /// Subtracted from the logits of tokens that occur in the answer.
    package var presencePenalty: Float = 0
    /// Subtracted from a token's logit once for each time that it occurs in the answer.
    package var frequencyPenalty: Float = 0
    /// For each token id, a value that is added to its logit.
    package var logitBias: [Int32: Float] = [:]
    /// Only these tokens can be drawn; nil for all.
    package var allowedTokens: [Int32]?
    /// Sequences of tokens that must not occur in the answer: the last token of a sequence is not drawn after the
    /// others.
    package var forbiddenSequences: [[Int32]] = []
    /// Seed of the random numbers; the same seed gives the same tokens, and nil takes a seed from the system.
    package var seed: UInt64?
    /// How many of the likeliest tokens are reported for each token drawn.
    package var topLogprobs = 0

    package init() {}

    package static let mostTopLogprobs = 20

    /// Checks that each value is in its range, and throws ``SamplingError/invalid(_:)`` otherwise.
    package func validate() throws(SamplingError) {
        func check(_ holds: Bool, _ flag: String, _ value: some Any, _ range: String) throws(SamplingError) {
            guard holds else { throw .invalid("'\(flag) \(value)' is out of range: \(range).") }
        }
        // The comparisons are written so that a NaN is refused.
        try check((0...100).contains(temperature), "--temperature", temperature, "0 (greedy) to 100")
        try check(topK >= 0, "--top-k", topK, "0 (off) or more")
        try check(topP > 0 && topP <= 1, "--top-p", topP, "above 0, at most 1")
        try check((0...1).contains(minP), "--min-p", minP, "0 to 1")
        let repetition = repetitionPenalty
        try check(
            repetition > 0 && repetition <= 100, "--repetition-penalty", repetition, "above 0, at most 100")
        try check((-2...2).contains(presencePenalty), "--presence-penalty", presencePenalty, "-2 to 2")
        try check((-2...2).contains(frequencyPenalty), "--frequency-penalty", frequencyPenalty, "-2 to 2")
        for (token, bias) in logitBias.sorted(by: { $0.key < $1.key }) {
            try check(token >= 0, "--logit-bias", token, "a token's id is 0 or more")
            try check(
                (-100...100).contains(bias), "--logit-bias", "\(token):\(bias)", "a bias is -100 to 100")
        }
        let most = Self.mostTopLogprobs
        try check((0...most).contains(topLogprobs), "--top-logprobs", topLogprobs, "0 to \(most)")
    }
}

/// Why no token could be drawn.
package enum SamplingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A parameter is out of range; the text names its command-line flag.
    case invalid(String)
    /// Every logit is negative infinity or NaN.
    case nothingToChoose

    package var description: String {
        switch self {
        case .invalid(let text): text
        case .nothingToChoose: "the model gives no token a probability (its logits are not finite)"
        }
    }
}

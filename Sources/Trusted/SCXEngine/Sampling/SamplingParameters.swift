/// How the next token is chosen.
///
/// The defaults draw from the model's own distribution.
package struct SamplingParameters: Equatable, Sendable {
    /// Logits are divided by it; 0 takes the likeliest token.
    package var temperature: Float = 1
    /// Only so many of the likeliest tokens are drawn from; 0 takes all.
    package var topK = 0
    /// Only the likeliest tokens that together have this probability are drawn from; 1 takes all.
    package var topP: Float = 1
    /// Only tokens with at least this part of the likeliest token's probability are drawn from; 0 takes all.
    package var minP: Float = 0
    /// Logits of tokens that the prompt or the answer holds are divided by it if positive, else multiplied.
    package var repetitionPenalty: Float = 1
    /// Subtracted from the logits of tokens that the answer holds.
    package var presencePenalty: Float = 0
    /// Subtracted from the logits of tokens for each time that the answer holds them.
    package var frequencyPenalty: Float = 0
    /// Added to the logits of these tokens.
    package var logitBias: [Int32: Float] = [:]
    /// Only these tokens are drawn; nil for all.
    package var allowedTokens: [Int32]?
    /// Sequences of tokens that the answer must not hold: the last token of one is not drawn after the others.
    package var forbiddenSequences: [[Int32]] = []
    /// The same seed gives the same tokens; nil takes one from the system.
    package var seed: UInt64?
    /// How many of the likeliest tokens are reported with each token.
    package var topLogprobs = 0

    package init() {}

    package static let mostTopLogprobs = 20

    /// Checks each value's range.
    package func validate() throws(SamplingError) {
        func check(_ holds: Bool, _ flag: String, _ value: some Any, _ range: String) throws(SamplingError) {
            guard holds else { throw .invalid("'\(flag) \(value)' is out of range: \(range).") }
        }
        // Written so that a NaN fails.
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

/// Why no token can be chosen.
package enum SamplingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A parameter is out of range; the text names its flag.
    case invalid(String)
    /// Every logit is negative infinity or no number.
    case nothingToChoose

    package var description: String {
        switch self {
        case .invalid(let text): text
        case .nothingToChoose: "the model gives no token a probability (its logits are not finite)"
        }
    }
}

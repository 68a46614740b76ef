import Foundation
package import SCXText

/// A token and its log-probability under the model's own distribution, before penalties, bias and temperature.
package struct TokenLogprob: Equatable, Sendable {
    package let id: Int32
    package let logprob: Float

    package init(id: Int32, logprob: Float) { (self.id, self.logprob) = (id, logprob) }
}

/// The token that a step chose.
package struct SampledToken: Equatable, Sendable {
    package let id: Int32
    package let logprob: Float
    /// The likeliest tokens, the likeliest first, as many as were asked for.
    package let top: [TokenLogprob]

    package init(id: Int32, logprob: Float, top: [TokenLogprob]) {
        (self.id, self.logprob, self.top) = (id, logprob, top)
    }
}

/// Chooses the tokens of one answer.
///
/// In this order: tokens that are not allowed are left out, repetition penalty, presence and frequency penalties, bias,
/// temperature, top-k, top-p, min-p, then a draw. Equal logits are ordered by id, the lower first, so exactly k tokens pass top-k. A logit that is no number is
/// never chosen. The same seed, parameters and logits give the same tokens everywhere.
package struct Sampler: Sendable {
    package let parameters: SamplingParameters
    private var random: RandomBits
    /// Tokens of the prompt and the answer, each once.
    private var seen: Set<Int32> = []
    /// How often the answer holds each of its tokens.
    private var counts: [Int32: Int] = [:]
    private var scratch = LogitBuffer()

    /// Starts an answer.
    ///
    /// - Parameters:
    ///   - parameters: Checked first.
    ///   - prompt: Its tokens, for the repetition penalty.
    /// - Throws: `SamplingError.invalid` for a parameter out of range.
    package init(_ parameters: SamplingParameters, prompt: some Sequence<Int32> = [Int32]())
        throws(SamplingError)
    {
        try parameters.validate()
        self.parameters = parameters
        var system = SystemRandomNumberGenerator()
        random = RandomBits(seed: parameters.seed ?? system.next())
        if parameters.repetitionPenalty != 1 { seen = Set(prompt) }
    }

    /// Chooses the next token and counts it as part of the answer.
    ///
    /// - Parameters:
    ///   - logits: One for each token of the vocabulary.
    ///   - allowed: The tokens to choose from; nil for all. Reported log-probabilities do not depend on it.
    /// - Returns: The token with its log-probability.
    /// - Throws: `SamplingError.nothingToChoose` when no logit of an allowed token is finite.
    package mutating func sample(
        _ logits: Span<Float>, allowed: TokenMask? = nil
    ) throws(SamplingError) -> SampledToken {
        scratch.load(logits)
        guard let best = scratch.best() else { throw .nothingToChoose }
        let mass = scratch.weigh(relativeTo: best.logit, scale: 1)
        let normalizer = best.logit + Float(log(mass))
        let top = scratch.largest(parameters.topLogprobs).map { id in
            TokenLogprob(id: id, logprob: scratch[id] - normalizer)
        }
        if let allowed { scratch.keep(allowed) }
        let chosen = try choose(best, isMasked: allowed != nil)
        // The mask and the penalties changed the buffer; the model's own logit is in the input.
        let raw = LogitBuffer.cleaned(logits[Int(chosen)])
        if parameters.repetitionPenalty != 1 { seen.insert(chosen) }
        if parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0 {
            counts[chosen, default: 0] += 1
        }
        return SampledToken(id: chosen, logprob: raw - normalizer, top: top)
    }

    private mutating func choose(
        _ rawBest: (id: Int32, logit: Float), isMasked: Bool
    ) throws(SamplingError) -> Int32 {
        var best = rawBest
        let isAdjusted = adjust() || isMasked
        if isAdjusted {
            guard let adjusted = scratch.best() else { throw .nothingToChoose }
            best = adjusted
        }
        if parameters.temperature == 0 { return best.id }
        let scale = 1 / max(parameters.temperature, 1e-4)
        if isAdjusted || scale != 1 { _ = scratch.weigh(relativeTo: best.logit, scale: scale) }
        var cut: LogitBuffer.Cut?
        if (parameters.topK > 0 && parameters.topK < scratch.count) || parameters.topP < 1 {
            cut = scratch.cut(best: best.logit, scale: scale, topK: parameters.topK, topP: parameters.topP)
        }
        return scratch.draw(cut, minWeight: parameters.minP, random.unit()) ?? best.id
    }

    /// Applies penalties and bias; whether there were any.
    private mutating func adjust() -> Bool {
        guard !seen.isEmpty || !counts.isEmpty || !parameters.logitBias.isEmpty else { return false }
        let penalty = parameters.repetitionPenalty
        for id in seen where scratch.holds(id) {
            let logit = scratch[id]
            scratch[id] = logit > 0 ? logit / penalty : logit * penalty
        }
        for (id, count) in counts where scratch.holds(id) {
            scratch[id] -= parameters.presencePenalty + parameters.frequencyPenalty * Float(count)
        }
        for (id, bias) in parameters.logitBias where scratch.holds(id) { scratch[id] += bias }
        return true
    }
}

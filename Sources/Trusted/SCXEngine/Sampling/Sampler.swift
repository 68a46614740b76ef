import Foundation
package import SCXText

/// A token and its log-probability under the model's own distribution, before penalties, bias and temperature.
package struct TokenLogprob: Equatable, Sendable {
    package let id: Int32
    package let logprob: Float

    package init(id: Int32, logprob: Float) { (self.id, self.logprob) = (id, logprob) }
}

/// The token that was drawn in a step.
package struct SampledToken: Equatable, Sendable {
    package let id: Int32
    package let logprob: Float
    /// The likeliest tokens, the likeliest first; as many as `topLogprobs` says.
    package let top: [TokenLogprob]

    package init(id: Int32, logprob: Float, top: [TokenLogprob]) {
        (self.id, self.logprob, self.top) = (id, logprob, top)
    }
}

/// Draws the tokens of one answer.
///
/// It leaves out tokens that are not allowed or would complete a forbidden sequence, and then applies, in this order,
/// repetition penalty, presence and frequency penalties, bias, temperature, top-k, top-p and min-p, before it draws.
/// Equal logits are ordered by id, the lower first, so exactly k tokens pass top-k. A token whose logit is NaN is never
/// drawn. The same seed, parameters and logits give the same tokens on every machine.
package struct Sampler: Sendable {
    package let parameters: SamplingParameters
    private var random: RandomBits
    /// Tokens that occur in the prompt or the answer, for the repetition penalty.
    private var seen: Set<Int32> = []
    /// How often the answer holds each of its tokens.
    private var counts: [Int32: Int] = [:]
    /// The answer's last tokens, one fewer than the longest forbidden sequence has.
    private var recent: [Int32] = []
    private var allowedMask: TokenMask?
    private var scratch = LogitBuffer()

    /// Makes the sampler of one answer.
    ///
    /// - Parameters:
    ///   - parameters: The parameters, which are checked.
    ///   - prompt: The prompt's tokens, for the repetition penalty.
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

    /// Draws the next token and counts it as part of the answer.
    ///
    /// - Parameters:
    ///   - logits: `[vocabulary]`.
    ///   - allowed: The tokens that can be drawn; nil for all. Reported log-probabilities do not depend on it.
    ///   - excluded: Tokens that are drawn only if there is no other one.
    /// - Returns: The token with its log-probability.
    /// - Throws: `SamplingError.nothingToChoose` when no logit of an allowed token is finite.
    package mutating func sample(
        _ logits: Span<Float>, allowed: TokenMask? = nil, excluded: Set<Int32> = []
    ) throws(SamplingError) -> SampledToken {
        scratch.load(logits)
        guard let best = scratch.best() else { throw .nothingToChoose }
        let mass = scratch.weigh(relativeTo: best.logit, scale: 1)
        let normalizer = best.logit + Float(log(mass))
        let top = scratch.largest(parameters.topLogprobs).map { id in
            TokenLogprob(id: id, logprob: scratch[id] - normalizer)
        }
        let isMasked = restrict(to: allowed, excluded)
        let chosen = try choose(best, isMasked: isMasked)
        remember(chosen)
        // The mask and the penalties changed the buffer; the model's own logit is in the input.
        let raw = LogitBuffer.cleaned(logits[Int(chosen)])
        if parameters.repetitionPenalty != 1 { seen.insert(chosen) }
        if parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0 {
            counts[chosen, default: 0] += 1
        }
        return SampledToken(id: chosen, logprob: raw - normalizer, top: top)
    }

    /// Sets the logits of tokens that must not be drawn to negative infinity; returns whether there were restrictions.
    private mutating func restrict(to allowed: TokenMask?, _ excluded: Set<Int32>) -> Bool {
        if let allowed { scratch.keep(allowed) }
        if let tokens = parameters.allowedTokens {
            let mask = allowedMask ?? TokenMask(tokens, capacity: scratch.count)
            allowedMask = mask
            scratch.keep(mask)
        }
        var excluded = excluded
        for sequence in parameters.forbiddenSequences {
            if let last = sequence.last, recent.suffix(sequence.count - 1) == sequence.dropLast() {
                excluded.insert(last)
            }
        }
        guard !excluded.isEmpty else { return allowed != nil || allowedMask != nil }
        let logits = excluded.filter { scratch.holds($0) }.map { ($0, scratch[$0]) }
        for (id, _) in logits { scratch[id] = -.infinity }
        // If no other token is left, for example because a grammar requires an excluded one, the excluded tokens can be
        // drawn.
        if scratch.best() == nil { for (id, logit) in logits { scratch[id] = logit } }
        return true
    }

    private mutating func remember(_ chosen: Int32) {
        let longest = parameters.forbiddenSequences.reduce(0) { max($0, $1.count) }
        guard longest > 1 else { return }
        recent.append(chosen)
        if recent.count >= longest { recent.removeFirst(recent.count - longest + 1) }
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

    /// Applies penalties and bias; returns whether there were any.
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

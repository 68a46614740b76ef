import SCXLink

/// What a session is asked for.
package struct GenerationRequest: Sendable {
    package var prompt: [Int32]
    /// Most tokens of the answer, at least one.
    package var maximumTokens: Int
    package var sampling: SamplingParameters
    package var stop: StopConditions

    package init(
        prompt: [Int32], maximumTokens: Int, sampling: SamplingParameters, stop: StopConditions = .init()
    ) {
        self.prompt = prompt
        self.maximumTokens = maximumTokens
        self.sampling = sampling
        self.stop = stop
    }
}

/// Why an answer ended, in the words of the OpenAI interface.
package enum FinishReason: String, Sendable {
    case stop, length, cancelled
}

/// What a step says of a session.
package struct SessionEvent: Sendable {
    package let session: SessionID
    package let token: SampledToken
    /// Text that is now certain: whole characters that begin no stop string.
    package let text: String
    package let finished: FinishReason?
}

/// A session as the engine keeps it.
struct Session {
    let id: SessionID
    private(set) var slot: Slot
    let request: GenerationRequest
    /// Prompt and answer so far.
    private(set) var tokens: [Int32]
    /// How many of them the worker has computed.
    var computed = 0
    var finished: FinishReason?
    private var sampler: Sampler
    private var decoder: Tokenizer.StreamDecoder?
    private var stops: StopMatcher

    init(
        slot: Slot, request: GenerationRequest, decoder: Tokenizer.StreamDecoder?
    ) throws(SamplingError) {
        id = SessionID(number: slot.number)
        self.slot = slot
        self.request = request
        tokens = request.prompt
        sampler = try Sampler(request.sampling, prompt: request.prompt)
        self.decoder = decoder
        stops = StopMatcher(request.stop.strings)
    }

    /// Takes over the slot of an earlier session, as far as the prompt begins with its tokens.
    mutating func reuse(_ earlier: Session) {
        slot = earlier.slot
        let common = zip(tokens, earlier.tokens.prefix(earlier.computed)).prefix { $0 == $1 }.count
        // The last token is computed again, since its logits are needed.
        computed = min(common, tokens.count - 1)
    }

    /// The next tokens to compute, as part of a batch.
    func segment(of count: Int) -> BatchSegment {
        let end = computed + count
        return BatchSegment(
            slot: slot, position: computed, tokens: Array(tokens[computed..<end]),
            logits: end == tokens.count ? .last : .none)
    }

    /// Samples the next token.
    ///
    /// - Throws: ``SamplingError`` when no logit is a number that can be drawn.
    mutating func take(logits: Span<Float>, maximumLength: Int) throws(SamplingError) -> SessionEvent {
        let token = try sampler.sample(logits)
        tokens.append(token.id)
        var text = ""
        if request.stop.ends(with: token.id) {
            finished = .stop
        } else {
            text = stops.append(decoder?.push(token.id) ?? "")
            if stops.found != nil {
                finished = .stop
            } else if tokens.count - request.prompt.count >= request.maximumTokens
                || tokens.count >= maximumLength
            {
                finished = .length
            }
        }
        if finished != nil, stops.found == nil {
            text += stops.append(decoder?.finish() ?? "") + stops.finish()
            if stops.found != nil { finished = .stop }
        }
        return SessionEvent(session: id, token: token, text: text, finished: finished)
    }
}

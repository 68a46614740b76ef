import SCXEncoding
package import SCXLink
import SCXProfiles
package import SCXText

/// What a session is asked for.
package struct GenerationRequest: Sendable {
    package var prompt: [Int32]
    /// Most tokens of the answer; 0 only where something is asked of the prompt.
    package var maximumTokens: Int
    package var sampling: SamplingParameters
    package var stop: StopConditions
    /// Asks for the log-probability of each prompt token, with so many of the likeliest tokens in its place.
    package var promptAlternatives: Int?
    /// Asks for the mean of the prompt's hidden states after the final norm, and for no answer.
    package var wantsEmbedding = false
    /// What the answer's text may be; nil for anything.
    package var constraint: TokenConstraint?
    /// The answer goes on where the prompt ends, perhaps in the middle of a word, and does not begin a text of its own.
    package var continuesText = false
    /// Special tokens that are part of the answer's text, such as the marks of tool calls.
    package var shownTokens: Set<Int32> = []

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
    /// ``SessionEvent/failure`` says why.
    case failed
}

/// What a step says of a session.
package struct SessionEvent: Sendable {
    package let session: SessionID
    /// The next token of the answer; nil where none was asked for.
    package var token: SampledToken?
    /// Text that is now certain: whole characters that begin no stop string.
    package var text = ""
    package var finished: FinishReason?
    /// The stop text that was found.
    package var stopText: String?
    /// With the first event, where it was asked for: the prompt's tokens from the second on.
    package var promptScores: [SampledToken] = []
    /// `[hidden]`, where it was asked for.
    package var embedding: [Float] = []
    package var failure: (any Error)?
    /// What the session cost so far.
    package var usage = SessionUsage()
}

/// What a session cost.
package struct SessionUsage: Equatable, Sendable {
    /// Tokens of the prompt that an earlier session had computed.
    package var cachedTokens = 0
    /// Exchanges that carried rows of the session, and its share of the bytes: rows of several sessions may travel in one.
    package var traffic = Traffic()
    /// Its share of the rows that went out under one-time pads, at all sites together.
    package var pads = 0
    /// Times that the session was computed again from its beginning because a step with it had failed.
    package var rebuilds = 0
    /// Drafts of its answer.
    package var speculation = SpeculationUse()
    /// From its request to the first work on it, where an ``EngineLoop`` ran it.
    package var queueTime = Duration.zero

    package init() {}
}

/// A session as the engine keeps it.
struct Session {
    let id: SessionID
    private(set) var slot: Slot
    private(set) var request: GenerationRequest
    /// Prompt and answer so far.
    var tokens: [Int32]
    /// How many of them the worker has computed.
    var computed = 0
    /// Of tokens that must come whole: with which others they are computed, and how many tokens' worth of work was granted
    /// to them.
    var group: PromptGroup?
    var granted = 0
    /// Waits until another session has left room on the worker.
    var isPaused = false
    /// Was computed beside others when a step failed: computed alone until that succeeds, so that a request that cannot be
    /// computed fails alone.
    var isSuspect = false
    var finished: FinishReason?
    var usage = SessionUsage()
    var sampler: Sampler
    var constraint: TokenConstraint?
    /// Finds the tokens that the answer may go on with.
    let masks: MaskWorkers
    var search: MaskJob?
    var undrawn: UndrawnRows?
    var decoder: Tokenizer.StreamDecoder?
    var stops: StopMatcher
    private var promptScores: [SampledToken] = []
    private var hiddenSum: [Float] = []
    var draftLength: DraftLength

    init(
        slot: Slot, request: GenerationRequest, decoder: Tokenizer.StreamDecoder?, masks: MaskWorkers,
        draftLength: DraftLength = DraftLength(longest: 0)
    ) throws(SamplingError) {
        id = SessionID(number: slot.number)
        self.slot = slot
        self.request = request
        tokens = request.prompt
        sampler = try Sampler(request.sampling, prompt: request.prompt)
        self.decoder = decoder
        if request.continuesText, let last = request.prompt.last { _ = self.decoder?.push(last) }
        stops = StopMatcher(request.stop.strings)
        constraint = request.constraint
        self.masks = masks
        self.draftLength = draftLength
        beginSearch()
    }

    /// Takes over the slot of an earlier session, as far as the prompt begins with its tokens.
    mutating func reuse(_ earlier: Session) {
        slot = earlier.slot
        // What is asked of the prompt needs all its rows.
        guard request.promptAlternatives == nil, !request.wantsEmbedding else { return }
        let common = zip(tokens, earlier.tokens.prefix(earlier.computed)).prefix { $0 == $1 }.count
        // The last token is computed again, since its logits are needed.
        computed = min(common, tokens.count - 1)
        usage.cachedTokens = computed
    }

    /// Begins again with the first token, since what the worker held is lost.
    mutating func restart() {
        group?.drop(id)
        (computed, group, granted, undrawn) = (0, nil, 0, nil)
        if tokens.count == request.prompt.count { (promptScores, hiddenSum) = ([], []) }
    }

    /// Tokens whose work no step has taken on.
    var waiting: Int { tokens.count - computed - granted }

    /// Whether only the token drawn last waits.
    var isGenerating: Bool { tokens.count > request.prompt.count && tokens.count - computed == 1 }

    /// Most tokens of a draft beside the token that waits: none that could not be drawn, or that would be the last.
    func longestDraft(maximumLength: Int) -> Int {
        guard isGenerating else { return 0 }
        let left = min(
            request.maximumTokens + request.prompt.count - tokens.count, maximumLength - tokens.count)
        return min(draftLength.next, left - 1)
    }

    /// The beginning of a draft that could be drawn, up to a token that would end the answer: no row after that serves.
    func usable(_ draft: ArraySlice<Int32>) -> [Int32] {
        let draft = draft.prefix { !request.stop.ends(with: $0) }
        guard let count = constraint?.usable(draft) else { return Array(draft) }
        return Array(draft.prefix(count))
    }

    /// The next tokens to compute, as part of a batch.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - draft: Tokens to compute after them, for a session that generates.
    /// - Returns: The segment; with a draft it asks for the logits of all its rows.
    func segment(of count: Int, draft: [Int32] = []) -> BatchSegment {
        guard draft.isEmpty else {
            return BatchSegment(
                slot: slot, position: computed, tokens: tokens[computed...] + draft, output: .allLogits)
        }
        var end = computed + count
        var output = SegmentOutput.nothing
        if tokens.count == request.prompt.count, request.wantsEmbedding {
            output = .hiddenSum
        } else if tokens.count == request.prompt.count, request.promptAlternatives != nil {
            // Logits of a few tokens only fit in memory. A prompt that must come whole is not cut.
            if count < tokens.count { end = min(end, computed + 128) }
            output = .allLogits
        } else if end == tokens.count {
            output = .lastLogits
        }
        return BatchSegment(
            slot: slot, position: computed, tokens: Array(tokens[computed..<end]), output: output)
    }

    /// Takes what a segment asked for, and draws the next tokens when the history is computed to its end.
    ///
    /// - Parameters:
    ///   - result: What the segment's output is.
    ///   - segment: From ``segment(of:draft:)``.
    ///   - drafted: How many of its tokens are a draft.
    ///   - vocabularySize: Logits of a row.
    ///   - maximumLength: Most tokens of a session.
    /// - Returns: What is new, in order; nothing when the prompt goes on.
    mutating func take(
        _ result: [Float], of segment: BatchSegment, drafted: Int, vocabularySize: Int, maximumLength: Int
    ) -> [SessionEvent] {
        computed = segment.position + segment.tokens.count - drafted
        (group, granted) = (nil, 0)
        switch segment.output {
        case .nothing: return []
        case .hiddenSum:
            if hiddenSum.isEmpty {
                hiddenSum = result
            } else {
                for i in result.indices { hiddenSum[i] += result[i] }
            }
            guard computed == tokens.count else { return [] }
            finished = .stop
            let count = Float(tokens.count)
            return [event { $0.embedding = hiddenSum.map { $0 / count } }]
        case .lastLogits, .allLogits:
            let rows = result.count / vocabularySize
            if segment.output == .allLogits, drafted == 0 {
                promptScores += scores(
                    of: tokens.dropFirst(segment.position + 1).prefix(rows), logits: result.span,
                    vocabulary: vocabularySize, alternatives: request.promptAlternatives ?? 0)
            }
            guard computed == tokens.count else { return [] }
            let first = (rows - drafted - 1) * vocabularySize
            undrawn = UndrawnRows(
                logits: first == 0 ? result : Array(result[first...]), vocabulary: vocabularySize,
                draft: Array(segment.tokens.suffix(drafted)))
            return draw(maximumLength: maximumLength)
        }
    }

    /// The log-probabilities of the prompt, which go with the first event.
    mutating func takePromptScores() -> [SampledToken] {
        defer { promptScores = [] }
        return promptScores
    }

    /// What is said of the session now.
    func event(_ fill: (inout SessionEvent) -> Void = { _ in }) -> SessionEvent {
        var event = SessionEvent(session: id)
        event.finished = finished
        event.usage = usage
        fill(&event)
        return event
    }

    /// Lets go of all of a finished session that a request which continues it does not need: how it was drawn, stop texts,
    /// its grammar, logits.
    mutating func reduce() {
        let request = GenerationRequest(prompt: [], maximumTokens: 0, sampling: SamplingParameters())
        guard
            var reduced = try? Session(
                slot: Slot(number: id.number), request: request, decoder: nil, masks: masks)
        else {
            preconditionFailure("Session: the default parameters are refused")
        }
        (reduced.slot, reduced.finished, reduced.usage) = (slot, finished, usage)
        (reduced.tokens, reduced.computed) = (tokens, computed)
        erase(&self.request.prompt)
        self = reduced
    }

    /// Lets go of all that tells what a finished session was about.
    mutating func empty() {
        erase(&tokens)
        reduce()
        computed = 0
    }

    /// Takes back the tokens of a session that was emptied.
    mutating func refill(_ tokens: [Int32], computed: Int) {
        (self.tokens, self.computed) = (tokens, computed)
    }
}

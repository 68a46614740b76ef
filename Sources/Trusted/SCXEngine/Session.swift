import SCXEncoding
package import SCXImages
package import SCXLink
import SCXProfiles
package import SCXText

/// A prompt, and how its answer is to be generated.
package struct GenerationRequest: Sendable {
    package var prompt: [Int32]
    /// The most tokens of the answer; 0 only for a request with a ``reading`` or for scores of the prompt.
    package var maximumTokens: Int
    package var sampling: SamplingParameters
    package var stop: StopConditions
    /// When set, the log-probability of each prompt token is reported, with this number of likeliest tokens at its
    /// place.
    package var promptAlternatives: Int?
    /// What is wanted of the prompt instead of an answer.
    package var reading: PromptReading?
    /// The kind of each token of the prompt, for encoders that distinguish the texts of a pair; empty where all are of
    /// kind 0.
    package var tokenKinds: [Int32] = []
    /// The pictures of the prompt, in the order in which tokens stand for them; see ``Engine/pictureShape``.
    package var pictures: [ImagePixels] = []
    /// A grammar that the answer's text must follow; nil for any text.
    package var constraint: TokenConstraint?
    /// Whether the answer continues the last text of the prompt, perhaps in the middle of a word, instead of beginning
    /// a new text.
    package var continuesText = false
    /// Special tokens that appear in the answer's text, such as the marks of tool calls.
    package var shownTokens: Set<Int32> = []

    package init(
        prompt: [Int32], maximumTokens: Int, sampling: SamplingParameters, stop: StopConditions = .init()
    ) {
        self.prompt = prompt
        self.maximumTokens = maximumTokens
        self.sampling = sampling
        self.stop = stop
    }

    /// A request for the vectors of pictures, of a model that takes pictures alone.
    package init(pictures: ImagePixels) {
        self.init(prompt: [], maximumTokens: 0, sampling: SamplingParameters())
        self.pictures = [pictures]
        reading = .pictures
    }
}

/// Why an answer ended, as the OpenAI interface names it.
package enum FinishReason: String, Sendable {
    case stop, length, cancelled
    /// The answer ended with an error, which ``SessionEvent/failure`` holds.
    case failed
}

/// Something new in a session: a token of its answer, its end, or both.
package struct SessionEvent: Sendable {
    package let session: SessionID
    /// The token that was drawn; nil in an event without one.
    package var token: SampledToken?
    /// New text of the answer: only whole characters, without an ending that could be the beginning of a stop string.
    package var text = ""
    package var finished: FinishReason?
    /// The stop string that ended the answer; nil if none did.
    package var stopText: String?
    /// In a session's first event, if requested: the log-probabilities of the prompt's tokens, from the second token
    /// on.
    package var promptScores: [SampledToken] = []
    /// What the request's ``GenerationRequest/reading`` asked for: a pooled vector, `[ways · hidden]`, or logits in the
    /// order of the tokens.
    package var reading: [Float] = []
    package var failure: (any Error)?
    /// The session's costs up to this event.
    package var usage = SessionUsage()
}

/// What a session has cost so far.
package struct SessionUsage: Equatable, Sendable {
    /// Prompt tokens that were not computed, because an earlier session had computed them.
    package var cachedTokens = 0
    /// Exchanges that carried rows of this session, and its share of their bytes, since one exchange may carry rows of
    /// several sessions.
    package var traffic = Traffic()
    /// Its share of the rows that were sent under one-time pads, summed over all sites.
    package var pads = 0
    /// How often the session was computed again from its first token because a step with it had failed.
    package var rebuilds = 0
    /// Draft tokens proposed and accepted for its answer.
    package var speculation = SpeculationUse()
    /// Time from the submission of the request to its start in the engine; measured by ``EngineLoop`` only.
    package var queueTime = Duration.zero

    package init() {}
}

/// The engine's state of one session.
struct Session {
    let id: SessionID
    private(set) var slot: Slot
    private(set) var request: GenerationRequest
    /// The tokens of the prompt and of the answer so far.
    var tokens: [Int32]
    /// How many of these tokens the forward pass has computed.
    var computed = 0
    /// While a prompt that cannot be split is computed: `group` has the prompts that are computed with it, and
    /// `granted` is the number of its tokens for which steps have granted work.
    var group: PromptGroup?
    var granted = 0
    /// Whether the session waits until another has finished, because the worker has no memory for it.
    var isPaused = false
    /// Whether a step with this session failed.
    ///
    /// The session is then computed alone until a step succeeds, so that a request that cannot be computed fails alone.
    var isSuspect = false
    var finished: FinishReason?
    var usage = SessionUsage()
    var sampler: Sampler
    var constraint: TokenConstraint?
    /// Threads that search for the tokens that the answer may have next.
    let masks: MaskWorkers
    var search: MaskJob?
    var undrawn: UndrawnRows?
    var decoder: Tokenizer.StreamDecoder?
    var stops: StopMatcher
    private var promptScores: [SampledToken] = []
    private var pooled: PooledStates?
    /// The pictures of the prompt; nil when it has none.
    var pictures: PromptPictures?
    /// Which pictures stand at which tokens; kept when the session has finished, for later requests that continue it.
    private var places: [PicturePlace] = []
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

    /// Takes over the slot of an earlier session, with the tokens at its beginning that equal those of the prompt.
    mutating func reuse(_ earlier: Session) {
        slot = earlier.slot
        // Scores and pooled states need the rows of all prompt tokens, so nothing is reused for them.
        guard request.promptAlternatives == nil, !isPooled else { return }
        let equal = zip(tokens, earlier.tokens.prefix(earlier.computed)).prefix { $0 == $1 }.count
        let common = PicturePlace.common(
            equal, picturePlaces, earlier.picturePlaces, isMutual: pictures?.isMutual ?? false)
        // The last token is computed in any case, since its logits are needed.
        computed = max(0, min(common, tokens.count - 1))
        if let pictures { computed = pictures.start(atMost: computed) }
        usage.cachedTokens = computed
    }

    /// Marks all tokens as not computed, because what the worker held of the session is lost.
    mutating func restart() {
        group?.drop(id)
        (computed, group, granted, undrawn) = (0, nil, 0, nil)
        if tokens.count == request.prompt.count { (promptScores, pooled) = ([], nil) }
    }

    /// Which pictures stand at which tokens.
    var picturePlaces: [PicturePlace] { pictures?.places ?? places }

    /// Whether a picture of the prompt must be computed before its tokens.
    ///
    /// Pictures whose tokens were all taken over from an earlier session need not be.
    var waitsForPictures: Bool { pictures.map { !$0.isComputed && $0.isNeeded(after: computed) } ?? false }

    /// The event with the vectors of all pictures, when they are what is wanted and all were computed.
    mutating func pictureReading() -> SessionEvent? {
        guard request.reading == .pictures, let pictures, pictures.isComputed else { return nil }
        finished = .stop
        return event { $0.reading = pictures.vectors }
    }

    /// Whether the hidden states of the prompt are wanted.
    private var isPooled: Bool { if case .pooled = request.reading { true } else { false } }

    /// Tokens that are not computed and for which no work was granted.
    var waiting: Int { tokens.count - computed - granted }

    /// Whether the only token to compute is the answer's latest one.
    var isGenerating: Bool { tokens.count > request.prompt.count && tokens.count - computed == 1 }

    /// How many draft tokens may follow the waiting token.
    ///
    /// The draft stays within the limits of the answer's and the session's length, and leaves room for one more token
    /// to be drawn after it.
    func longestDraft(maximumLength: Int) -> Int {
        guard isGenerating else { return 0 }
        let left = min(
            request.maximumTokens + request.prompt.count - tokens.count, maximumLength - tokens.count)
        return min(draftLength.next, left - 1)
    }

    /// The part of a draft that is worth computing: it ends before a token that the constraint forbids or that would
    /// end the answer.
    func usable(_ draft: ArraySlice<Int32>) -> [Int32] {
        let draft = draft.prefix { !request.stop.ends(with: $0) }
        guard let count = constraint?.usable(draft) else { return Array(draft) }
        return Array(draft.prefix(count))
    }

    /// Makes the segment with the next tokens to compute.
    ///
    /// - Parameters:
    ///   - count: The number of tokens.
    ///   - draft: Draft tokens to compute after them, for a generating session.
    /// - Returns: The segment; with a draft, it asks for the logits of all its rows.
    func segment(of count: Int, draft: [Int32] = []) -> BatchSegment {
        guard draft.isEmpty else {
            return BatchSegment(
                slot: slot, position: computed, tokens: tokens[computed...] + draft, output: .allLogits)
        }
        var end = computed + count
        var output = SegmentOutput.nothing
        if tokens.count == request.prompt.count, isPooled {
            output = .hiddenStates
        } else if tokens.count == request.prompt.count, request.promptAlternatives != nil {
            // Only the logits of a few tokens fit in memory. A prompt that cannot be split is computed whole all the
            // same.
            if count < tokens.count { end = min(end, computed + 128) }
            output = .allLogits
        }
        var isMutual = false
        if let pictures { (end, isMutual) = pictures.end(of: computed..<end) }
        if output == .nothing, end == tokens.count { output = .lastLogits }
        return BatchSegment(
            slot: slot, position: computed, tokens: Array(tokens[computed..<end]),
            kinds: request.tokenKinds.isEmpty ? [] : Array(request.tokenKinds[computed..<end]),
            output: output, inserted: pictures?.inserted(computed..<end), isMutual: isMutual)
    }

    /// Takes the result of a segment, and draws the next tokens once the whole prompt or the last token is computed.
    ///
    /// - Parameters:
    ///   - result: The values that the segment's `output` asked for.
    ///   - segment: The segment, from ``segment(of:draft:)``.
    ///   - drafted: How many of its last tokens are a draft.
    ///   - vocabularySize: Number of logits of a row.
    ///   - maximumLength: The most tokens that a session may have.
    /// - Returns: The new events, in order; none while tokens of the prompt are left to compute.
    mutating func take(
        _ result: [Float], of segment: BatchSegment, drafted: Int, vocabularySize: Int, maximumLength: Int
    ) -> [SessionEvent] {
        computed = segment.position + segment.tokens.count - drafted
        (group, granted) = (nil, 0)
        switch segment.output {
        case .nothing: return []
        case .hiddenStates:
            guard case .pooled(let ways, let skipped) = request.reading else { return [] }
            var states = pooled ?? PooledStates(ways, skipping: skipped)
            states.add(result, tokens: segment.tokens.count)
            pooled = states
            guard computed == tokens.count else { return [] }
            finished = .stop
            return [event { $0.reading = states.vector }]
        case .lastLogits, .allLogits:
            if case .logits(let wanted) = request.reading {
                finished = .stop
                let last = result.count - vocabularySize
                return [event { $0.reading = wanted.map { result[last + Int($0)] } }]
            }
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

    /// Returns the log-probabilities of the prompt, and empties them, since only the first event carries them.
    mutating func takePromptScores() -> [SampledToken] {
        defer { promptScores = [] }
        return promptScores
    }

    /// Makes an event with the session's current state, whose other fields `fill` sets.
    func event(_ fill: (inout SessionEvent) -> Void = { _ in }) -> SessionEvent {
        var event = SessionEvent(session: id)
        event.finished = finished
        event.usage = usage
        fill(&event)
        return event
    }

    /// Frees all parts of a finished session that a continuing request does not need: sampling parameters, stop texts,
    /// grammar and logits.
    mutating func reduce() {
        let request = GenerationRequest(prompt: [], maximumTokens: 0, sampling: SamplingParameters())
        guard
            var reduced = try? Session(
                slot: Slot(number: id.number), request: request, decoder: nil, masks: masks)
        else {
            preconditionFailure("Session: the default parameters are refused")
        }
        (reduced.slot, reduced.finished, reduced.usage) = (slot, finished, usage)
        (reduced.tokens, reduced.computed, reduced.places) = (tokens, computed, picturePlaces)
        erase(&self.request.prompt)
        self = reduced
    }

    /// Zeroes and removes the tokens of a finished session, so that nothing in memory tells its text.
    mutating func empty() {
        erase(&tokens)
        reduce()
        computed = 0
    }

    /// Sets the tokens of a session that ``empty()`` had emptied.
    mutating func refill(_ tokens: [Int32], computed: Int) {
        (self.tokens, self.computed) = (tokens, computed)
    }
}

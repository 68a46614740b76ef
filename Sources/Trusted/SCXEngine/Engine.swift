package import SCXLink
package import SCXProfiles
package import SCXText

/// Why the engine refuses a request; the cases carry sizes, never tokens or text.
package enum EngineError: Error, Equatable, Sendable, CustomStringConvertible {
    case emptyPrompt
    case promptTooLong(tokens: Int, limit: Int)
    case tokenOutOfRange(vocabulary: Int)
    /// The model has no output head.
    case cannotGenerate
    /// A kind of token that the model does not have, or not one for each token.
    case wrongKinds
    /// The model has no encoder of pictures, or the profile cannot compute it.
    case takesNoPictures
    /// The model has an encoder of pictures and nothing else.
    case takesPicturesAlone
    /// The model generates from pictures, and gives no vectors of them.
    case embedsNoPictures
    /// Pictures of another shape than the model takes.
    case wrongPicture(channels: Int, height: Int, width: Int, expected: PictureShape)
    /// Values that no picture has after preprocessing, such as ones that are no numbers.
    case wrongPixels
    /// Another number of picture tokens in the prompt than its pictures need.
    case wrongPictureTokens(found: Int, pictures: Int, each: Int)
    /// More picture tokens one after the other than the model can relate to each other.
    case adjacentPictures(tokens: Int, limit: Int)

    package var description: String {
        switch self {
        case .emptyPrompt: "the prompt has no tokens"
        case .promptTooLong(let tokens, let limit):
            "the prompt has \(tokens) tokens, the model's context has room for \(limit)"
        case .tokenOutOfRange(let vocabulary):
            "a prompt id is not in the model's vocabulary (0 to \(vocabulary - 1))"
        case .cannotGenerate:
            "this model embeds or scores texts; it does not generate any, since it has no output head"
        case .wrongKinds: "the kinds of the prompt's tokens are not those of the model"
        case .takesNoPictures: "this model takes no pictures in this profile"
        case .takesPicturesAlone: "this model takes pictures alone, and gives a vector of each"
        case .embedsNoPictures: "this model generates from pictures; it gives no vectors of them"
        case .wrongPicture(let channels, let height, let width, let expected):
            "a picture has \(channels) x \(height) x \(width) pixels (channels, rows, columns), and the model takes "
                + "\(expected.channels) x \(expected.size) x \(expected.size)"
        case .adjacentPictures(let tokens, let limit):
            "the prompt has \(tokens) picture tokens one after the other, and this model takes at most \(limit): put "
                + "other tokens between pictures"
        case .wrongPixels: "a picture has values that are no numbers, or far from those of pixels"
        case .wrongPictureTokens(let found, let pictures, let each):
            "the prompt has \(found) picture tokens, and its \(pictures) picture(s) need \(pictures * each)"
        }
    }
}

/// The loop of the trusted side, which generates the answers of several sessions at once.
///
/// One call of ``step()`` computes the tokens that the ``Scheduler`` chose in one forward pass, and then samples a
/// token for each session whose prompt and answer so far are computed completely. Not thread-safe: all calls come from
/// one thread.
package final class Engine {
    let forward: any ForwardPass
    private let tokenizer: Tokenizer?
    package let vocabularySize: Int
    package let maximumLength: Int
    private let scheduler: Scheduler
    /// Proposes draft tokens for speculative decoding; nil when there is no speculation.
    let drafter: (any Drafter)?
    var speculated = SpeculationUse()
    /// Threads that search for the tokens that a constrained answer may have next.
    private let masks: MaskWorkers
    private var pace = Pace()
    /// How often in a row a step failed because the worker was lost; reset when a step succeeds.
    private var losses = 0
    /// After more losses in a row than this, the sessions of the failed step fail, since the engine would otherwise try
    /// for ever.
    private static let mostLosses = 5
    /// How often one session may be computed again from its first token, over its whole life.
    ///
    /// Each rebuild sends the session's rows once more. Without this limit a worker that fails on purpose would get new
    /// encodings of the same rows without end.
    package static let mostRebuilds = 16
    /// Rebuilds of all sessions so far, including sessions that have ended.
    package private(set) var rebuilds = 0
    /// The sessions whose rows are in the current call of the forward pass; when it fails, these are rebuilt or fail.
    private var atWork: [SessionID] = []
    /// All sessions that the engine holds, running and finished, oldest first.
    var sessions: [Session] = []
    private var nextNumber: UInt32 = 0

    /// Makes an engine without sessions.
    ///
    /// - Parameters:
    ///   - forward: Computes segments of tokens in the chosen profile.
    ///   - tokenizer: Turns tokens into text; without one, events carry no text.
    ///   - vocabularySize: Number of tokens in the model's vocabulary.
    ///   - maximumLength: The most tokens that a session may have, prompt and answer together.
    ///   - scheduler: Chooses which tokens each step computes.
    ///   - drafter: Proposes draft tokens; nil for no speculation.
    ///   - masks: Threads that search for the tokens that a constrained answer may have next.
    /// - Precondition: With a drafter, the forward pass must be able to compute several rows of a generating session in
    ///   one step (`splitsPrompts`).
    package init(
        forward: any ForwardPass, tokenizer: Tokenizer?, vocabularySize: Int, maximumLength: Int,
        scheduler: Scheduler = Scheduler(), drafter: (any Drafter)? = nil,
        masks: MaskWorkers = MaskWorkers()
    ) {
        precondition(drafter == nil || forward.splitsPrompts, "Engine: drafts for a profile of single rows")
        self.forward = forward
        self.tokenizer = tokenizer
        self.vocabularySize = vocabularySize
        self.maximumLength = maximumLength
        self.scheduler = scheduler
        self.drafter = drafter
        self.masks = masks
    }

    package var traffic: Traffic { forward.traffic }

    /// Whether all sessions have finished, so that there is nothing to compute.
    package var isIdle: Bool { sessions.allSatisfy { $0.finished != nil } }

    /// Whether the engine still holds a session, so that a later request can reuse what was computed for it.
    package func keeps(_ id: SessionID) -> Bool { sessions.contains { $0.id == id } }

    /// Starts a session for a request.
    ///
    /// - Parameters:
    ///   - request: The prompt and how to answer it.
    ///   - earlier: A finished session, which the new one replaces. The tokens at its beginning that equal those of the
    ///     new prompt are not computed again.
    /// - Returns: The new session, on which ``step()`` reports.
    /// - Throws: ``EngineError``, or ``SamplingError`` when a sampling parameter is out of range.
    package func submit(_ request: GenerationRequest, continuing earlier: SessionID? = nil) throws
        -> SessionID
    {
        try checkPictures(request)
        if request.reading != .pictures { try check(request.prompt) }
        try checkReading(request)
        guard request.prompt.count + min(request.maximumTokens, 1) <= maximumLength else {
            throw EngineError.promptTooLong(tokens: request.prompt.count, limit: maximumLength - 1)
        }
        var session = try Session(
            slot: reserveSlot(), request: request,
            decoder: tokenizer.map { Tokenizer.StreamDecoder($0, keptTokens: request.shownTokens) },
            masks: masks, draftLength: DraftLength(longest: drafter?.longest ?? 0))
        if !request.pictures.isEmpty, let model = forward.pictures {
            session.pictures = PromptPictures(request.pictures, prompt: request.prompt, model)
        }
        if let earlier, let index = sessions.firstIndex(where: { $0.id == earlier && $0.finished != nil }) {
            session.reuse(sessions.remove(at: index))
            drafter?.move(earlier, to: session.id)
        }
        sessions.append(session)
        return session.id
    }

    /// Checks that the model can give what is asked of it.
    private func checkReading(_ request: GenerationRequest) throws(EngineError) {
        let kinds = request.tokenKinds
        guard kinds.isEmpty || kinds.count == request.prompt.count,
            kinds.allSatisfy({ $0 == 0 || (0..<Int32(forward.tokenKinds)).contains($0) })
        else { throw .wrongKinds }
        switch request.reading {
        case .pooled, .pictures: return
        case .logits(let tokens):
            guard tokens.allSatisfy({ $0 >= 0 && $0 < vocabularySize }) else {
                throw .tokenOutOfRange(vocabulary: vocabularySize)
            }
        case nil: break
        }
        guard forward.generates else { throw .cannotGenerate }
    }

    /// Whether a finished session may be continued by a later request.
    var continuesSessions: Bool { forward.continuesSessions }

    /// Returns a new slot number, which no session has used before.
    func reserveSlot() -> Slot {
        defer { nextNumber += 1 }
        return Slot(number: nextNumber)
    }

    /// Checks that a prompt is not empty, not too long, and has only tokens of the vocabulary.
    func check(_ tokens: [Int32]) throws(EngineError) {
        guard vocabularySize > 0 else { throw .takesPicturesAlone }
        guard !tokens.isEmpty else { throw .emptyPrompt }
        guard tokens.count <= maximumLength else {
            throw .promptTooLong(tokens: tokens.count, limit: maximumLength)
        }
        guard tokens.allSatisfy({ $0 >= 0 && $0 < vocabularySize }) else {
            throw .tokenOutOfRange(vocabulary: vocabularySize)
        }
    }

    /// Ends a session's answer, but keeps what was computed for it until ``end(_:)``.
    ///
    /// - Returns: The session's last event; nil when the session had already ended.
    @discardableResult
    package func cancel(_ id: SessionID) -> SessionEvent? {
        guard let index = sessions.firstIndex(where: { $0.id == id && $0.finished == nil }) else {
            return nil
        }
        sessions[index].finished = .cancelled
        drafter?.finish(id)
        // A prompt of which only some blocks were computed cannot be continued by a later request.
        if sessions[index].group != nil { sessions[index].restart() }
        defer { sessions[index].reduce() }
        return sessions[index].event()
    }

    /// Removes a session, and releases its slot on the worker.
    package func end(_ id: SessionID) throws(LinkError) {
        guard let index = sessions.firstIndex(where: { $0.id == id }) else { return }
        drafter?.forget(id)
        try release(sessions.remove(at: index))
    }

    private func release(_ session: Session) throws(LinkError) {
        do {
            try forward.end(session.slot)
        } catch {
            // When a connection is lost, the worker has freed its slots already.
            guard error.losesWorker else { throw error }
        }
    }

    /// Computes one step: a batch of tokens of all sessions that wait for one.
    ///
    /// When the worker is lost, the following steps compute all tokens of every session again on another worker or
    /// connection, and the answers continue where they were. When the worker has no memory left, the engine removes all
    /// finished sessions; if there are none, it pauses the youngest running session until another has finished. A
    /// session that fails when it is computed alone ends with a failure, and the others continue.
    ///
    /// When the allowed tokens of a constrained answer are not known yet, its logits are kept, and its token is drawn
    /// in a later step.
    ///
    /// - Returns: The new events. A session has one event for each token that was drawn, or one for its end.
    /// - Throws: ``LinkError`` when there is no worker.
    package func step() throws(LinkError) -> [SessionEvent] {
        // A token that was drawn is part of the session, so its event is returned even if computing fails afterwards.
        var events = drawWaiting()
        try computePicture(&events)
        let waiting = sessions.filter {
            $0.finished == nil && !$0.isPaused && !$0.isDrawing && !$0.waitsForPictures
        }
        .map { Scheduler.Waiting(session: $0.id, tokens: $0.waiting, draft: wantedDraft($0)) }
        let schedule = scheduler.schedule(waiting, pace: pace)
        if !schedule.isEmpty || dueGroup != nil {
            try compute(schedule, &events)
        } else if events.isEmpty, sessions.contains(where: \.isDrawing) {
            // The wait is short, because new requests may arrive in the meantime.
            masks.wait(milliseconds: 2)
        }
        let finished = events.filter { $0.finished != nil }
        if !finished.isEmpty {
            for index in sessions.indices { sessions[index].isPaused = false }
        }
        for event in finished {
            drafter?.finish(event.session)
            if let index = sessions.firstIndex(where: { $0.id == event.session }) { sessions[index].reduce() }
        }
        return events
    }

    /// Draws tokens for the sessions that have logits but whose allowed tokens were not known before.
    private func drawWaiting() -> [SessionEvent] {
        var events: [SessionEvent] = []
        for index in sessions.indices where sessions[index].finished == nil && sessions[index].isDrawing {
            events += counted(index) { sessions[index].draw(maximumLength: maximumLength) }
        }
        return events
    }

    /// Computes the scheduled tokens, and handles the errors of a worker that is lost or has no memory left.
    private func compute(
        _ schedule: [Scheduler.Entry], _ events: inout [SessionEvent]
    ) throws(LinkError) {
        let places = schedule.compactMap { entry in sessions.firstIndex { $0.id == entry.session } }
        do throws(LinkError) {
            try compute(zip(places, schedule).map { ($0, $1) }, &events)
        } catch {
            try handle(error, places, &events)
        }
    }

    /// Handles the failure of a step with the sessions at these places.
    ///
    /// - Throws: The error itself when there is no worker.
    func handle(
        _ error: LinkError, _ places: [Int], _ events: inout [SessionEvent]
    ) throws(LinkError) {
        switch error {
        case .workerFull: events += try makeRoom(places, error)
        case .incompatible, .unreachable: throw error
        default: events += try recover(error)
        }
    }

    /// Computes the scheduled tokens: ordinary segments in one batch, and prompts that cannot be split block by block.
    private func compute(
        _ work: [(place: Int, entry: Scheduler.Entry)], _ events: inout [SessionEvent]
    ) throws(LinkError) {
        let start = ContinuousClock.now
        let drafts = drafts(work.map { ($0.place, $0.entry.draft) })
        var batch: [(place: Int, segment: BatchSegment)] = []
        var prompts: [(place: Int, tokens: Int)] = []
        for (place, entry) in work {
            if sessions[place].group != nil || unbegun(place, isScheduled: true) != nil {
                prompts.append((place, entry.tokens))
            } else {
                let isWhole = !forward.splitsPrompts && !sessions[place].isGenerating
                let tokens = isWhole ? sessions[place].waiting : entry.tokens
                batch.append((place, sessions[place].segment(of: tokens, draft: drafts[place] ?? [])))
            }
        }
        try beginPrompts(prompts.map(\.place))
        let together = batch.filter { !sessions[$0.place].isSuspect }
        let alone = batch.filter { sessions[$0.place].isSuspect }.map { [$0] }
        for batch in [together] + alone where !batch.isEmpty {
            let results = try charge(batch) { () throws(LinkError) in
                try forward.compute(batch.map(\.segment))
            }
            for ((place, segment), result) in zip(batch, results) {
                events += take(result, place, segment, drafted: drafts[place]?.count ?? 0)
            }
        }
        // Work is granted only after the batch has succeeded: work granted before a failure would never be done.
        for (place, tokens) in prompts {
            sessions[place].granted += tokens
            sessions[place].group?.grant(tokens)
        }
        while let group = dueGroup { try advance(group, &events) }
        pace.add(
            tokens: work.reduce(0) { $0 + ($1.entry.tokens > 1 ? $1.entry.tokens : 0) },
            seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    func take(
        _ result: [Float], _ place: Int, _ segment: BatchSegment, drafted: Int
    ) -> [SessionEvent] {
        counted(place) {
            sessions[place].take(
                result, of: segment, drafted: drafted, vocabularySize: vocabularySize,
                maximumLength: maximumLength)
        }
    }

    /// Calls `draw`, which draws a session's next tokens, and adds its proposed and accepted draft tokens to the
    /// engine's sum.
    private func counted(_ place: Int, _ draw: () -> [SessionEvent]) -> [SessionEvent] {
        let before = sessions[place].usage.speculation
        defer {
            let after = sessions[place].usage.speculation
            speculated.add(
                proposed: after.proposed - before.proposed, accepted: after.accepted - before.accepted)
        }
        return draw()
    }

    /// Prepares a new attempt after a failed step, or fails the sessions that have had too many.
    ///
    /// The sessions of the failed batch are computed one by one from now on, so that the one at fault fails alone. When
    /// the worker is lost, all other sessions have to be computed again as well, but this does not count against them.
    private func recover(_ error: LinkError) throws(LinkError) -> [SessionEvent] {
        var events: [SessionEvent] = []
        if error.losesWorker {
            losses += 1
            for index in sessions.indices { sessions[index].restart() }
        }
        for index in sessions.indices where atWork.contains(sessions[index].id) {
            sessions[index].restart()
            sessions[index].isSuspect = true
            sessions[index].usage.rebuilds += 1
            rebuilds += 1
            // When the worker refuses the rows of a single session, it would refuse them again.
            let isHopeless = error.losesWorker ? losses > Self.mostLosses : atWork.count == 1
            guard isHopeless || sessions[index].usage.rebuilds > Self.mostRebuilds else { continue }
            sessions[index].finished = .failed
            events.append(sessions[index].event { $0.failure = error })
            try release(sessions[index])
        }
        return events
    }

    /// Frees memory on a worker that had too little for a step, by ending finished sessions or pausing the youngest.
    private func makeRoom(_ places: [Int], _ error: LinkError) throws(LinkError) -> [SessionEvent] {
        // It is not known which rows of the step the worker has stored. A session of the step may also share a prompt
        // run with others.
        for place in sessions.indices
        where places.contains(place) || atWork.contains(sessions[place].id) {
            sessions[place].restart()
            try release(sessions[place])
        }
        let kept = sessions.filter { $0.finished != nil }
        if !kept.isEmpty {
            sessions.removeAll { $0.finished != nil }
            for session in kept { drafter?.forget(session.id) }
            for session in kept { try release(session) }
            return []
        }
        guard let youngest = sessions.lastIndex(where: { !$0.isPaused }) else { throw error }
        if sessions.count(where: { !$0.isPaused }) == 1 {
            sessions[youngest].finished = .failed
            return [sessions[youngest].event { $0.failure = error }]
        }
        sessions[youngest].restart()
        sessions[youngest].isPaused = true
        try release(sessions[youngest])
        return []
    }

    /// Runs `work`, and charges its traffic and pads to the sessions of the batch, in proportion to their rows.
    ///
    /// With `rows`, the batch has one session, whose segment has so many rows.
    func charge<Result>(
        _ batch: [(place: Int, segment: BatchSegment)], rows given: Int? = nil,
        _ work: () throws(LinkError) -> Result
    ) throws(LinkError) -> Result {
        let before = forward.traffic
        let padded = forward.sealedReport?.values.padded ?? 0
        atWork = batch.map { sessions[$0.place].id }
        let result = try work()
        losses = 0
        for (place, _) in batch { sessions[place].isSuspect = false }
        let after = forward.traffic
        let paddedAfter = forward.sealedReport?.values.padded ?? 0
        let rows = max(1, given ?? batch.reduce(0) { $0 + $1.segment.tokens.count })
        for (place, segment) in batch {
            let own = given ?? segment.tokens.count
            sessions[place].usage.traffic.exchanges += after.exchanges - before.exchanges
            sessions[place].usage.traffic.bytesSent += (after.bytesSent - before.bytesSent) * own / rows
            sessions[place].usage.traffic.bytesReceived +=
                (after.bytesReceived - before.bytesReceived) * own / rows
            sessions[place].usage.pads += (paddedAfter - padded) * own / rows
        }
        return result
    }

    /// Calls ``step()`` until no session has anything to compute.
    ///
    /// - Parameters:
    ///   - id: The session whose events are reported.
    ///   - onEvent: Called with each event of the session. If it returns false, the session is cancelled and it is not
    ///     called again.
    /// - Throws: The errors of ``step()`` and of `onEvent`, and the session's failure, such as ``SamplingError`` when
    ///   its logits are not finite.
    package func run(_ id: SessionID, onEvent: (SessionEvent) throws -> Bool) throws {
        var isWanted = true
        while !isIdle {
            for event in try step() where event.session == id && isWanted {
                if let failure = event.failure { throw failure }
                if try !onEvent(event) {
                    isWanted = false
                    cancel(id)
                }
            }
        }
    }
}

package import SCXLink
package import SCXProfiles
package import SCXText

/// Why a request cannot be taken.
///
/// Carries sizes, never tokens or text.
package enum EngineError: Error, Equatable, Sendable, CustomStringConvertible {
    case emptyPrompt
    case promptTooLong(tokens: Int, limit: Int)
    case tokenOutOfRange(vocabulary: Int)

    package var description: String {
        switch self {
        case .emptyPrompt: "the prompt has no tokens"
        case .promptTooLong(let tokens, let limit):
            "the prompt has \(tokens) tokens, the model's context has room for \(limit)"
        case .tokenOutOfRange(let vocabulary):
            "a prompt id is not in the model's vocabulary (0 to \(vocabulary - 1))"
        }
    }
}

/// The trusted side's loop: schedule, run, postprocess, for several sessions at once.
///
/// Not thread-safe: one thread steps it. A step computes the tokens that the ``Scheduler`` chose in one forward pass,
/// then samples for each session whose history is computed to its end.
package final class Engine {
    let forward: any ForwardPass
    private let tokenizer: Tokenizer?
    package let vocabularySize: Int
    package let maximumLength: Int
    private let scheduler: Scheduler
    /// Proposes tokens of answers; nil for none.
    let drafter: (any Drafter)?
    var speculated = SpeculationUse()
    /// Finds the tokens that constrained answers may go on with.
    private let masks: MaskWorkers
    private var pace = Pace()
    /// Workers lost since rows were last computed.
    private var losses = 0
    /// A worker that fails this often in a row, and computes nothing in between, would fail for ever.
    private static let mostLosses = 5
    /// Rebuilds of a session over its whole life, whatever succeeds in between: each sends its rows once more, and a worker
    /// that fails on purpose is not to draw them without end.
    package static let mostRebuilds = 16
    /// Rebuilds of all sessions, those that have ended included.
    package private(set) var rebuilds = 0
    /// Whose rows are being computed, for the blame when that fails.
    private var atWork: [SessionID] = []
    /// Oldest first.
    var sessions: [Session] = []
    private var nextNumber: UInt32 = 0

    /// Makes a loop without sessions.
    ///
    /// - Parameters:
    ///   - forward: How the profile computes.
    ///   - tokenizer: Turns tokens to text; without one, events carry no text.
    ///   - vocabularySize: Entries of the model's vocabulary.
    ///   - maximumLength: Most tokens in a session, prompt and answer.
    ///   - scheduler: Chooses the tokens of each step.
    ///   - drafter: Proposes tokens of answers; nil for none.
    ///   - masks: Finds the tokens that constrained answers may go on with.
    /// - Precondition: With a drafter, the forward pass takes several rows of a session that generates, as those do that
    ///   split prompts.
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

    /// True when no session waits for a step.
    package var isIdle: Bool { sessions.allSatisfy { $0.finished != nil } }

    /// Whether the computed tokens of a finished session are still there.
    package func keeps(_ id: SessionID) -> Bool { sessions.contains { $0.id == id } }

    /// Takes a request.
    ///
    /// - Parameters:
    ///   - request: The prompt and how to answer it.
    ///   - earlier: A finished session whose computed tokens serve again as far as the new prompt begins with
    ///     them; it is replaced by the new one.
    /// - Returns: The session that ``step()`` reports on.
    /// - Throws: ``EngineError``, or ``SamplingError`` when the parameters are out of range.
    package func submit(_ request: GenerationRequest, continuing earlier: SessionID? = nil) throws
        -> SessionID
    {
        try check(request.prompt)
        guard request.prompt.count + min(request.maximumTokens, 1) <= maximumLength else {
            throw EngineError.promptTooLong(tokens: request.prompt.count, limit: maximumLength - 1)
        }
        var session = try Session(
            slot: reserveSlot(), request: request,
            decoder: tokenizer.map { Tokenizer.StreamDecoder($0, keptTokens: request.shownTokens) },
            masks: masks, draftLength: DraftLength(longest: drafter?.longest ?? 0))
        if let earlier, let index = sessions.firstIndex(where: { $0.id == earlier && $0.finished != nil }) {
            session.reuse(sessions.remove(at: index))
            drafter?.move(earlier, to: session.id)
        }
        sessions.append(session)
        return session.id
    }

    /// A slot that no session has used.
    func reserveSlot() -> Slot {
        defer { nextNumber += 1 }
        return Slot(number: nextNumber)
    }

    /// Checks that the model can take the tokens.
    func check(_ tokens: [Int32]) throws(EngineError) {
        guard !tokens.isEmpty else { throw .emptyPrompt }
        guard tokens.count <= maximumLength else {
            throw .promptTooLong(tokens: tokens.count, limit: maximumLength)
        }
        guard tokens.allSatisfy({ $0 >= 0 && $0 < vocabularySize }) else {
            throw .tokenOutOfRange(vocabulary: vocabularySize)
        }
    }

    /// Ends a session's answer; its computed tokens stay until ``end(_:)``.
    ///
    /// - Returns: The session's last event; nil when it had ended already.
    @discardableResult
    package func cancel(_ id: SessionID) -> SessionEvent? {
        guard let index = sessions.firstIndex(where: { $0.id == id && $0.finished == nil }) else {
            return nil
        }
        sessions[index].finished = .cancelled
        drafter?.finish(id)
        // Half of a prompt's blocks are of no use.
        if sessions[index].group != nil { sessions[index].restart() }
        defer { sessions[index].reduce() }
        return sessions[index].event()
    }

    /// Forgets a session here and on the worker.
    package func end(_ id: SessionID) throws(LinkError) {
        guard let index = sessions.firstIndex(where: { $0.id == id }) else { return }
        drafter?.forget(id)
        try release(sessions.remove(at: index))
    }

    private func release(_ session: Session) throws(LinkError) {
        do {
            try forward.end(session.slot)
        } catch {
            // A worker frees the slots of a connection that is gone.
            guard error.losesWorker else { throw error }
        }
    }

    /// Computes one step.
    ///
    /// When the worker is lost, the next steps compute every session's tokens again on the one that takes its
    /// place, and the answers go on where they were. When it is full, finished sessions are forgotten, then the
    /// youngest waits until another has finished. A session whose rows cannot be computed fails alone.
    ///
    /// A session whose allowed tokens are still looked for has its logits kept, and draws in a later step.
    ///
    /// - Returns: What is new, for each session that the step brought to a token or to its end.
    /// - Throws: ``LinkError`` when there is no worker.
    package func step() throws(LinkError) -> [SessionEvent] {
        // What was drawn before a step failed is part of the histories, so it is told all the same.
        var events = drawWaiting()
        let waiting = sessions.filter { $0.finished == nil && !$0.isPaused && !$0.isDrawing }
            .map { Scheduler.Waiting(session: $0.id, tokens: $0.waiting, draft: wantedDraft($0)) }
        let schedule = scheduler.schedule(waiting, pace: pace)
        if !schedule.isEmpty || dueGroup != nil {
            try compute(schedule, &events)
        } else if events.isEmpty, sessions.contains(where: \.isDrawing) {
            // Short, since new requests may come meanwhile.
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

    /// Draws for sessions whose logits were computed before it was known what they may draw.
    private func drawWaiting() -> [SessionEvent] {
        var events: [SessionEvent] = []
        for index in sessions.indices where sessions[index].finished == nil && sessions[index].isDrawing {
            events += counted(index) { sessions[index].draw(maximumLength: maximumLength) }
        }
        return events
    }

    /// Computes what was scheduled; a lost or full worker is dealt with.
    private func compute(
        _ schedule: [Scheduler.Entry], _ events: inout [SessionEvent]
    ) throws(LinkError) {
        let places = schedule.compactMap { entry in sessions.firstIndex { $0.id == entry.session } }
        do throws(LinkError) {
            try compute(zip(places, schedule).map { ($0, $1) }, &events)
        } catch {
            switch error {
            case .workerFull: events += try makeRoom(places, error)
            case .incompatible, .unreachable: throw error
            default: events += try recover(error)
            }
        }
    }

    /// Computes the next tokens of sessions: those of a batch together, prompts that must come whole block by block.
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
        // Not before: after a failure of another this work would never be done.
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

    /// Has a session draw, and counts what became of drafts.
    private func counted(_ place: Int, _ draw: () -> [SessionEvent]) -> [SessionEvent] {
        let before = sessions[place].usage.speculation
        defer {
            let after = sessions[place].usage.speculation
            speculated.add(
                proposed: after.proposed - before.proposed, accepted: after.accepted - before.accepted)
        }
        return draw()
    }

    /// Lets the sessions whose rows could not be computed try again, or fails them.
    ///
    /// Those of a batch are tried one by one from now on. When the worker is lost, the others have to be computed again too,
    /// through no fault of theirs.
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
            // A refusal of one session's rows alone would be the same the next time.
            let isHopeless = error.losesWorker ? losses > Self.mostLosses : atWork.count == 1
            guard isHopeless || sessions[index].usage.rebuilds > Self.mostRebuilds else { continue }
            sessions[index].finished = .failed
            events.append(sessions[index].event { $0.failure = error })
            try release(sessions[index])
        }
        return events
    }

    /// Frees memory of the worker, which had none for a step.
    private func makeRoom(_ places: [Int], _ error: LinkError) throws(LinkError) -> [SessionEvent] {
        // What the worker took of the step is not known; others may have shared a prompt's run with it.
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

    /// Does work, and writes down what it cost for sessions by the rows that they have in it.
    func charge<Result>(
        _ batch: [(place: Int, segment: BatchSegment)], _ work: () throws(LinkError) -> Result
    ) throws(LinkError) -> Result {
        let before = forward.traffic
        let padded = forward.sealedReport?.values.padded ?? 0
        atWork = batch.map { sessions[$0.place].id }
        let result = try work()
        losses = 0
        for (place, _) in batch { sessions[place].isSuspect = false }
        let after = forward.traffic
        let paddedAfter = forward.sealedReport?.values.padded ?? 0
        let rows = max(1, batch.reduce(0) { $0 + $1.segment.tokens.count })
        for (place, segment) in batch {
            let own = segment.tokens.count
            sessions[place].usage.traffic.exchanges += after.exchanges - before.exchanges
            sessions[place].usage.traffic.bytesSent += (after.bytesSent - before.bytesSent) * own / rows
            sessions[place].usage.traffic.bytesReceived +=
                (after.bytesReceived - before.bytesReceived) * own / rows
            sessions[place].usage.pads += (paddedAfter - padded) * own / rows
        }
        return result
    }

    /// Runs a request to its end.
    ///
    /// - Parameters:
    ///   - id: The session.
    ///   - onEvent: Called after each token; answers false to cancel, after which it is not called again.
    /// - Throws: As ``step()``, what `onEvent` throws, and ``SamplingError`` when logits are no numbers.
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

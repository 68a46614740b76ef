package import SCXLink

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
    let vocabularySize: Int
    private let maximumLength: Int
    private let scheduler: Scheduler
    /// Workers lost since a step last succeeded.
    private var losses = 0
    /// A worker that fails this often in a row would fail for ever.
    private static let mostLosses = 5
    /// Oldest first.
    private var sessions: [Session] = []
    private var nextNumber: UInt32 = 0

    /// Makes a loop without sessions.
    ///
    /// - Parameters:
    ///   - forward: How the profile computes.
    ///   - tokenizer: Turns tokens to text; without one, events carry no text.
    ///   - vocabularySize: Entries of the model's vocabulary.
    ///   - maximumLength: Most tokens in a session, prompt and answer.
    ///   - scheduler: Chooses the tokens of each step; nil for one that suits the profile.
    package init(
        forward: any ForwardPass, tokenizer: Tokenizer?, vocabularySize: Int, maximumLength: Int,
        scheduler: Scheduler? = nil
    ) {
        self.forward = forward
        self.tokenizer = tokenizer
        self.vocabularySize = vocabularySize
        self.maximumLength = maximumLength
        // A prompt that must come whole is one step.
        self.scheduler =
            scheduler ?? (forward.splitsPrompts ? Scheduler() : Scheduler(tokensPerStep: 1 << 30))
    }

    package var traffic: Traffic { forward.traffic }

    /// True when no session waits for a step.
    package var isIdle: Bool { sessions.allSatisfy { $0.finished != nil } }

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
        guard request.prompt.count < maximumLength else {
            throw EngineError.promptTooLong(tokens: request.prompt.count, limit: maximumLength - 1)
        }
        var session = try Session(
            slot: reserveSlot(), request: request, decoder: tokenizer.map { Tokenizer.StreamDecoder($0) })
        if let earlier, let index = sessions.firstIndex(where: { $0.id == earlier && $0.finished != nil }) {
            session.reuse(sessions.remove(at: index))
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
    package func cancel(_ id: SessionID) {
        guard let index = sessions.firstIndex(where: { $0.id == id }) else { return }
        sessions[index].finished = sessions[index].finished ?? .cancelled
    }

    /// Forgets a session here and on the worker.
    package func end(_ id: SessionID) throws(LinkError) {
        guard let index = sessions.firstIndex(where: { $0.id == id }) else { return }
        let session = sessions.remove(at: index)
        guard session.computed > 0 else { return }
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
    /// place, and the answers go on where they were.
    ///
    /// - Returns: What is new, for each session that the step brought to a token.
    /// - Throws: ``LinkError`` when an exchange fails, ``SamplingError`` when logits are no numbers.
    package func step() throws -> [SessionEvent] {
        let waiting = sessions.filter { $0.finished == nil }
            .map { Scheduler.Waiting(session: $0.id, tokens: $0.tokens.count - $0.computed) }
        let schedule = scheduler.schedule(waiting)
        guard !schedule.isEmpty else { return [] }

        let places = schedule.compactMap { entry in sessions.firstIndex { $0.id == entry.session } }
        let batch = zip(schedule, places).map { entry, place in sessions[place].segment(of: entry.tokens) }
        let logits: [Float]
        do {
            logits = try forward.logits(batch)
        } catch {
            guard error.losesWorker, losses < Self.mostLosses else { throw error }
            rebuild()
            return []
        }
        losses = 0

        var events: [SessionEvent] = []
        var done = 0
        for (place, segment) in zip(places, batch) {
            sessions[place].computed += segment.tokens.count
            guard segment.logits == .last else { continue }
            let row = logits.span.extracting(done * vocabularySize..<(done + 1) * vocabularySize)
            events.append(try sessions[place].take(logits: row, maximumLength: maximumLength))
            done += 1
        }
        return events
    }

    /// Has every session computed from its first token again, since the worker's slots are lost.
    private func rebuild() {
        losses += 1
        for index in sessions.indices { sessions[index].computed = 0 }
    }

    /// Runs a request to its end.
    ///
    /// - Parameters:
    ///   - id: The session.
    ///   - onEvent: Called after each token; answers false to cancel.
    /// - Throws: As ``step()``, and what `onEvent` throws.
    package func run(_ id: SessionID, onEvent: (SessionEvent) throws -> Bool) throws {
        while !isIdle {
            for event in try step() where event.session == id {
                if try !onEvent(event) { cancel(id) }
            }
        }
    }
}

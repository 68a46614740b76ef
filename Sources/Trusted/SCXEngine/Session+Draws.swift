import SCXText

/// Logits of a session from which tokens are still to be drawn.
struct UndrawnRows {
    /// `[1 + draft, vocabulary]`: after the last token and after each of the draft.
    let logits: [Float]
    let vocabulary: Int
    /// The tokens that were computed after the last.
    let draft: [Int32]
    /// How many of them were drawn as they were proposed.
    var accepted = 0
}

/// What a constraint leaves to draw from.
private enum AllowedTokens {
    case all
    case these(TokenMask)
    case notYetKnown
}

extension Session {
    /// Whether tokens are to be drawn as soon as it is known which ones are allowed.
    var isDrawing: Bool { undrawn != nil }

    /// Draws the next token, and one more for each token of a draft that was drawn as it was proposed.
    ///
    /// Each draw sees the logits that it would see without drafts, so tokens, random numbers and log-probabilities are the
    /// same. Keys and values of the rest of the draft are cut where the next segment begins. A draw that has to wait until
    /// the allowed tokens are found is made up for by the next call.
    ///
    /// - Parameter maximumLength: Most tokens of a session.
    /// - Returns: One event for each token; none while the allowed tokens are looked for.
    mutating func draw(maximumLength: Int) -> [SessionEvent] {
        guard let rows = undrawn else { return [] }
        undrawn = nil
        let (logits, draft) = (rows.logits, rows.draft)
        var accepted = rows.accepted
        var events: [SessionEvent] = []
        while finished == nil {
            var mask: TokenMask?
            switch allowedTokens() {
            case .all: break
            case .these(let tokens): mask = tokens
            case .notYetKnown:
                undrawn = rows
                undrawn?.accepted = accepted
                return events
            }
            let first = accepted * rows.vocabulary
            let row = logits.span.extracting(first..<first + rows.vocabulary)
            events.append(draw(row, mask, maximumLength: maximumLength))
            guard accepted < draft.count, events.last?.token?.id == draft[accepted] else { break }
            accepted += 1
            computed += 1
        }
        draftLength.add(proposed: draft.count, accepted: accepted)
        usage.speculation.add(proposed: draft.count, accepted: accepted)
        if !events.isEmpty { events[events.count - 1].usage = usage }
        return events
    }

    /// The tokens that may be drawn now.
    private mutating func allowedTokens() -> AllowedTokens {
        guard constraint != nil else { return .all }
        if let known = constraint?.known() {
            search = nil
            return .these(known)
        }
        if search == nil { beginSearch() }
        guard let outcome = search?.outcome else { return .notYetKnown }
        search = nil
        var found: TokenMask?
        switch outcome {
        case .found(let mask): found = constraint?.allowed(mask)
        case .failed(let error):
            constraint?.fail(error)
            found = constraint?.known()
        }
        return found.map { .these($0) } ?? .all
    }

    /// Has the tokens found that may be drawn next, while the engine computes.
    mutating func beginSearch() {
        search = nil
        guard finished == nil, constraint != nil, constraint?.known() == nil,
            let next = constraint?.search()
        else { return }
        search = masks.begin(next)
    }

    /// Draws the next token.
    private mutating func draw(
        _ logits: Span<Float>, _ allowed: TokenMask?, maximumLength: Int
    ) -> SessionEvent {
        let scores = takePromptScores()
        guard request.maximumTokens > 0 else {
            finished = .length
            return event { $0.promptScores = scores }
        }
        if let failure = constraint?.failure {
            finished = .failed
            return event { $0.failure = failure }
        }
        let token: SampledToken
        do throws(SamplingError) {
            token = try sampler.sample(
                logits, allowed: allowed,
                excluded: request.stop.excluded(after: tokens.count - request.prompt.count))
        } catch {
            finished = .failed
            return event { $0.failure = error }
        }
        tokens.append(token.id)
        constraint?.accept(token.id)
        var text = ""
        if request.stop.ends(with: token.id) {
            finished = .stop
            if request.stop.isShown { text = stops.append(decoder?.push(token.id) ?? "") }
        } else {
            let piece = decoder?.push(token.id) ?? ""
            // Texts that end the answer are not looked for in what has to be there.
            text =
                tokens.count - request.prompt.count <= request.stop.leastTokens ? piece : stops.append(piece)
            if stops.found != nil || constraint?.isFinal == true {
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
        if request.stop.isShown, let found = stops.found { text += found }
        beginSearch()
        return event {
            $0.token = token
            $0.text = text
            $0.promptScores = scores
            $0.stopText = stops.found
        }
    }
}

import SCXText

/// Logits of a session from which no token has been drawn yet.
struct UndrawnRows {
    /// `[1 + draft, vocabulary]`: the logits after the session's last token, and after each token of the draft.
    let logits: [Float]
    let vocabulary: Int
    /// The draft tokens, which were computed after the session's last token.
    let draft: [Int32]
    /// How many draft tokens were accepted so far, that is, drawn as they were proposed.
    var accepted = 0
}

/// The tokens that a constraint allows next.
private enum AllowedTokens {
    case all
    case these(TokenMask)
    case notYetKnown
}

extension Session {
    /// Whether there are logits from which tokens are drawn as soon as the allowed tokens are known.
    var isDrawing: Bool { undrawn != nil }

    /// Draws the next token, and another one after each draft token that was accepted.
    ///
    /// Each draw uses the logits that it would have without drafts, so tokens, random numbers and log-probabilities are
    /// the same with and without speculation. Keys and values of rejected draft tokens are removed from the caches when
    /// the next segment begins. When the allowed tokens are not known yet, the logits are kept and the next call draws
    /// from them.
    ///
    /// - Parameter maximumLength: The most tokens that a session may have.
    /// - Returns: One event for each token drawn; none if the allowed tokens of the first draw are not known yet.
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

    /// The tokens that the constraint allows next, if they are known.
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

    /// Starts the search for the allowed next tokens on another thread, unless they are known already.
    mutating func beginSearch() {
        search = nil
        guard finished == nil, constraint != nil, constraint?.known() == nil,
            let next = constraint?.search()
        else { return }
        search = masks.begin(next)
    }

    /// Draws one token from a row of logits.
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
            // Stop texts are not searched for in the answer's first `leastTokens` tokens.
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

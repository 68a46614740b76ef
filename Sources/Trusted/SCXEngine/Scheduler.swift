/// Identifies a session; the engine never uses a number twice.
package struct SessionID: Hashable, Comparable, Sendable {
    package let number: UInt32

    package init(number: UInt32) { self.number = number }

    package static func < (a: Self, b: Self) -> Bool { a.number < b.number }
}

/// Decides which tokens of which sessions the next step computes.
///
/// A value that knows no model: numbers in, numbers out. Generating sessions have one waiting token each and come
/// first. Beside them, prompts get only as many tokens as keep the step short, so that a long prompt does not delay
/// generation. Half of the prompt tokens go to the oldest prompt, so that it is sure to finish, and the rest to the
/// shortest prompts, so that they need not wait for it. Draft tokens come last, and only up to ``rowsWithDrafts`` rows,
/// since so few rows take little more time than a single one.
package struct Scheduler: Equatable, Sendable {
    /// The most tokens in one step.
    package var tokensPerStep: Int
    /// The fewest prompt tokens in a step that also has generating sessions.
    private static let fewestPromptTokens = 16
    /// Draft tokens may fill a step up to this number of rows.
    ///
    /// Up to there, a step's time is that of reading the weights, not of multiplying.
    package static let rowsWithDrafts = 64

    /// - Precondition: `tokensPerStep` is positive.
    package init(tokensPerStep: Int = 512) {
        precondition(tokensPerStep > 0, "Scheduler: no tokens in a step")
        self.tokensPerStep = tokensPerStep
    }

    /// The facts about a session that the scheduler uses.
    package struct Waiting: Equatable, Sendable {
        package let session: SessionID
        /// Tokens of its prompt and answer that no step has computed yet; at least one.
        package let tokens: Int
        /// Draft tokens that a generating session would like to have computed after its waiting token.
        package let draft: Int

        package init(session: SessionID, tokens: Int, draft: Int = 0) {
            self.session = session
            self.tokens = tokens
            self.draft = draft
        }
    }

    /// The part of a step that belongs to one session.
    package struct Entry: Equatable, Sendable {
        package let session: SessionID
        /// How many of the session's waiting tokens to compute.
        package let tokens: Int
        /// How many draft tokens to compute after them.
        package var draft = 0

        package init(session: SessionID, tokens: Int) {
            self.session = session
            self.tokens = tokens
        }
    }

    /// Chooses the tokens of the next step.
    ///
    /// - Parameters:
    ///   - waiting: Sessions with tokens to compute, oldest first.
    ///   - pace: How fast prompts were computed lately; before that is known, only ``tokensPerStep`` limits a step.
    /// - Returns: At most ``tokensPerStep`` tokens in all, and with drafts at most ``rowsWithDrafts``; empty only when
    ///   `waiting` is.
    package func schedule(_ waiting: [Waiting], pace: Pace? = nil) -> [Entry] {
        var entries = withoutDrafts(waiting, pace)
        var room = min(tokensPerStep, Self.rowsWithDrafts) - entries.reduce(0) { $0 + $1.tokens }
        let wanted = entries.map { entry in waiting.first { $0.session == entry.session }?.draft ?? 0 }
        // Drafts grow by one token each, in turn, while there is room: what a short draft does not use, longer ones
        // get.
        for length in 1...max(1, wanted.max() ?? 0) {
            for index in entries.indices where wanted[index] >= length && room > 0 {
                entries[index].draft = length
                room -= 1
            }
        }
        return entries
    }

    private func withoutDrafts(_ waiting: [Waiting], _ pace: Pace?) -> [Entry] {
        var entries: [Entry] = []
        for session in waiting.lazy.filter({ $0.tokens == 1 }).prefix(tokensPerStep) {
            entries.append(Entry(session: session.session, tokens: 1))
        }
        var room = tokensPerStep - entries.count
        if !entries.isEmpty, let limit = pace?.tokensPerStep {
            room = min(room, max(Self.fewestPromptTokens, limit))
        }
        let prompts = waiting.filter { $0.tokens > 1 }
        guard let oldest = prompts.first, room > 0 else { return entries }
        var granted = [SessionID: Int]()
        func grant(_ tokens: Int, to session: Waiting) {
            let more = min(tokens, room, session.tokens - granted[session.session, default: 0])
            granted[session.session, default: 0] += more
            room -= more
        }
        grant((room + 1) / 2, to: oldest)
        for session in prompts.dropFirst().sorted(by: { $0.tokens < $1.tokens }) { grant(room, to: session) }
        grant(room, to: oldest)
        for session in prompts {
            guard let tokens = granted[session.session], tokens > 0 else { continue }
            entries.append(Entry(session: session.session, tokens: tokens))
        }
        return entries
    }
}

/// Measures how fast prompts are computed, to decide how many prompt tokens a step may have.
package struct Pace: Equatable, Sendable {
    /// The intended duration of a step with generating sessions, in seconds.
    private static let seconds = 0.25
    private var tokensPerSecond: Double?

    package init() {}

    /// Prompt tokens that can be computed in one step of the intended duration; nil before any were computed.
    package var tokensPerStep: Int? { tokensPerSecond.map { Int(min($0 * Self.seconds, 1e6)) } }

    /// Takes the measurement of a step into account: the new pace is the mean of the old pace and that of this step.
    package mutating func add(tokens: Int, seconds: Double) {
        guard tokens > 1, seconds > 0 else { return }
        let latest = Double(tokens) / seconds
        tokensPerSecond = tokensPerSecond.map { ($0 + latest) / 2 } ?? latest
    }
}

/// Names a session for as long as the engine lives.
package struct SessionID: Hashable, Comparable, Sendable {
    package let number: UInt32

    package init(number: UInt32) { self.number = number }

    package static func < (a: Self, b: Self) -> Bool { a.number < b.number }
}

/// Decides which tokens the next step computes.
///
/// A value without a model: plain numbers in, plain numbers out. Sessions that generate have one token waiting and
/// come first, and beside them prompts get only as much as keeps the step short, so that a long prompt never stalls
/// them. Of what prompts get, the oldest has half, so that it ends some time; the shortest have the rest, so that they
/// need not wait for it. Rows of drafts come last, and only as far as a step of so few rows costs little more than one of
/// a single row.
package struct Scheduler: Equatable, Sendable {
    /// Most tokens in one step.
    package var tokensPerStep: Int
    /// Fewest prompt tokens in a step beside those that are generated.
    private static let fewestPromptTokens = 16
    /// Rows up to which a step may be filled with drafts: until there, reading the weights costs more than multiplying.
    package static let rowsWithDrafts = 64

    /// - Precondition: `tokensPerStep` is positive.
    package init(tokensPerStep: Int = 512) {
        precondition(tokensPerStep > 0, "Scheduler: no tokens in a step")
        self.tokensPerStep = tokensPerStep
    }

    /// What the scheduler sees of a session.
    package struct Waiting: Equatable, Sendable {
        package let session: SessionID
        /// Tokens of its history that no step has computed yet, at least one.
        package let tokens: Int
        /// Tokens that a session that generates would have drafted after the one that waits.
        package let draft: Int

        package init(session: SessionID, tokens: Int, draft: Int = 0) {
            self.session = session
            self.tokens = tokens
            self.draft = draft
        }
    }

    /// A session's part of a step.
    package struct Entry: Equatable, Sendable {
        package let session: SessionID
        /// How many of its waiting tokens to compute.
        package let tokens: Int
        /// How many tokens of a draft to compute after them.
        package var draft = 0

        package init(session: SessionID, tokens: Int) {
            self.session = session
            self.tokens = tokens
        }
    }

    /// Chooses the next step's tokens.
    ///
    /// - Parameters:
    ///   - waiting: Sessions with tokens to compute, oldest first.
    ///   - pace: How fast prompts were computed lately; while nobody knows, a step may be as long as it wants.
    /// - Returns: At most ``tokensPerStep`` tokens in all; nothing only when nothing waits. With drafts no more than
    ///   ``rowsWithDrafts``.
    package func schedule(_ waiting: [Waiting], pace: Pace? = nil) -> [Entry] {
        var entries = withoutDrafts(waiting, pace)
        var room = min(tokensPerStep, Self.rowsWithDrafts) - entries.reduce(0) { $0 + $1.tokens }
        let wanted = entries.map { entry in waiting.first { $0.session == entry.session }?.draft ?? 0 }
        // One more token for each, as long as there is room: short drafts leave theirs to longer ones.
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

/// How fast prompts are computed, so that a step can be made as long as it should be.
package struct Pace: Equatable, Sendable {
    /// What a step with generating sessions should take.
    private static let seconds = 0.25
    private var tokensPerSecond: Double?

    package init() {}

    /// Prompt tokens that fit into a step; nil before any was computed.
    package var tokensPerStep: Int? { tokensPerSecond.map { Int(min($0 * Self.seconds, 1e6)) } }

    /// Learns from a step: half of the pace is that of the last one.
    package mutating func add(tokens: Int, seconds: Double) {
        guard tokens > 1, seconds > 0 else { return }
        let latest = Double(tokens) / seconds
        tokensPerSecond = tokensPerSecond.map { ($0 + latest) / 2 } ?? latest
    }
}

/// Names a session for as long as the engine lives.
package struct SessionID: Hashable, Comparable, Sendable {
    package let number: UInt32

    package init(number: UInt32) { self.number = number }

    package static func < (a: Self, b: Self) -> Bool { a.number < b.number }
}

/// Decides which tokens the next step computes.
///
/// A value without a model: plain numbers in, plain numbers out. Sessions that generate have one token waiting and
/// come first, so that a long prompt never stalls them; prompts share what is left of the step, oldest first, in
/// chunks.
package struct Scheduler: Equatable, Sendable {
    /// Most tokens in one step.
    package var tokensPerStep: Int

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

        package init(session: SessionID, tokens: Int) {
            self.session = session
            self.tokens = tokens
        }
    }

    /// A session's part of a step.
    package struct Entry: Equatable, Sendable {
        package let session: SessionID
        /// How many of its waiting tokens to compute.
        package let tokens: Int

        package init(session: SessionID, tokens: Int) {
            self.session = session
            self.tokens = tokens
        }
    }

    /// Chooses the next step's tokens.
    ///
    /// - Parameter waiting: Sessions with tokens to compute, oldest first.
    /// - Returns: At most ``tokensPerStep`` tokens in all; nothing only when nothing waits.
    package func schedule(_ waiting: [Waiting]) -> [Entry] {
        var entries: [Entry] = []
        var room = tokensPerStep
        for isPrompt in [false, true] {
            for session in waiting where (session.tokens > 1) == isPrompt && room > 0 {
                let tokens = min(session.tokens, room)
                entries.append(Entry(session: session.session, tokens: tokens))
                room -= tokens
            }
        }
        return entries
    }
}

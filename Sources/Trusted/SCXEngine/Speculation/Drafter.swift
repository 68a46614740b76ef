/// Proposes draft tokens that may follow a session's tokens, so that one step of the model can give several tokens.
///
/// The proposals change how long an answer takes, never what it says.
package protocol Drafter: AnyObject {
    /// The most tokens of a draft.
    var longest: Int { get }

    /// How many tokens ``draft(_:)`` would propose, at most as many as requested; this must be cheap.
    func length(_ request: DraftRequest) -> Int

    /// Proposes draft tokens for several sessions.
    ///
    /// - Returns: A draft for each request, at most as long as it asks for.
    func draft(_ requests: [DraftRequest]) -> [[Int32]]

    /// Says that a session's answer has ended; a later request may continue it.
    func finish(_ session: SessionID)

    /// Says that a new session continues an earlier one.
    func move(_ earlier: SessionID, to session: SessionID)

    /// Says that a session has been removed, so that its state is no longer needed.
    func forget(_ session: SessionID)
}

/// A request to a ``Drafter`` for draft tokens of one session.
package struct DraftRequest: Sendable {
    package let session: SessionID
    /// The tokens of the prompt and of the answer so far.
    package let tokens: [Int32]
    /// The most tokens to propose; at least one.
    package let count: Int

    package init(session: SessionID, tokens: [Int32], count: Int) {
        self.session = session
        self.tokens = tokens
        self.count = count
    }
}

/// How many draft tokens were proposed and accepted.
package struct SpeculationUse: Equatable, Sendable {
    /// Draft tokens that the model has checked.
    package var proposed = 0
    /// Draft tokens that were accepted, that is, drawn as they were proposed.
    package var accepted = 0
    /// Steps of sessions that had a draft.
    package var steps = 0

    package init() {}

    mutating func add(proposed: Int, accepted: Int) {
        guard proposed > 0 else { return }
        self.proposed += proposed
        self.accepted += accepted
        steps += 1
    }
}

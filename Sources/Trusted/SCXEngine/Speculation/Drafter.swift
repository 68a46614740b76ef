/// Proposes tokens that may follow a session's, so that one step of the model can give several.
///
/// What it proposes changes the time that an answer takes, never the answer.
package protocol Drafter: AnyObject {
    /// Most tokens of a draft.
    var longest: Int { get }

    /// How many tokens ``draft(_:)`` would propose, at most those asked for; cheap.
    func length(_ request: DraftRequest) -> Int

    /// Proposes tokens for sessions.
    ///
    /// - Returns: For each session at most so many as it asks for.
    func draft(_ requests: [DraftRequest]) -> [[Int32]]

    /// A session's answer has ended; it may be continued.
    func finish(_ session: SessionID)

    /// A session goes on as another.
    func move(_ earlier: SessionID, to session: SessionID)

    /// Nothing more is asked for a session.
    func forget(_ session: SessionID)
}

/// What is asked of a ``Drafter`` for one session.
package struct DraftRequest: Sendable {
    package let session: SessionID
    /// Prompt and answer so far.
    package let tokens: [Int32]
    /// Most tokens to propose, at least one.
    package let count: Int

    package init(session: SessionID, tokens: [Int32], count: Int) {
        self.session = session
        self.tokens = tokens
        self.count = count
    }
}

/// What became of drafts.
package struct SpeculationUse: Equatable, Sendable {
    /// Tokens that were proposed to the model.
    package var proposed = 0
    /// Those of them that were then drawn.
    package var accepted = 0
    /// A session's steps that had a draft.
    package var steps = 0

    package init() {}

    mutating func add(proposed: Int, accepted: Int) {
        guard proposed > 0 else { return }
        self.proposed += proposed
        self.accepted += accepted
        steps += 1
    }
}

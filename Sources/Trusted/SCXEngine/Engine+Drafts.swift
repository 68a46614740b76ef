/// Draft tokens of generating sessions, for speculative decoding.
extension Engine {
    /// How many draft tokens were proposed and accepted in all sessions so far.
    package var speculation: SpeculationUse { speculated }

    /// How many draft tokens a session can use in the next step; 0 without a drafter.
    func wantedDraft(_ session: Session) -> Int {
        guard let drafter else { return 0 }
        let most = session.longestDraft(maximumLength: maximumLength)
        guard most > 0 else { return 0 }
        return drafter.length(DraftRequest(session: session.id, tokens: session.tokens, count: most))
    }

    /// Proposes the draft tokens of a step.
    ///
    /// - Parameter granted: The place of each session in `sessions`, and the most tokens that its draft may have.
    /// - Returns: For each place the draft, cut before a token that could not be drawn or would end the answer.
    func drafts(_ granted: [(place: Int, count: Int)]) -> [Int: [Int32]] {
        let granted = granted.filter { $0.count > 0 }
        guard let drafter, !granted.isEmpty else { return [:] }
        let proposed = drafter.draft(
            granted.map { place, count in
                DraftRequest(session: sessions[place].id, tokens: sessions[place].tokens, count: count)
            })
        var drafts: [Int: [Int32]] = [:]
        for ((place, count), draft) in zip(granted, proposed) {
            drafts[place] = sessions[place].usable(draft.prefix(count))
        }
        return drafts
    }
}

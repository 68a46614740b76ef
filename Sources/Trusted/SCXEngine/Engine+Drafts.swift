/// Drafts of sessions that generate.
extension Engine {
    /// What became of all drafts.
    package var speculation: SpeculationUse { speculated }

    /// How many tokens a session would have drafted for the next step.
    func wantedDraft(_ session: Session) -> Int {
        guard let drafter else { return 0 }
        let most = session.longestDraft(maximumLength: maximumLength)
        guard most > 0 else { return 0 }
        return drafter.length(DraftRequest(session: session.id, tokens: session.tokens, count: most))
    }

    /// The drafts of a step, by the places of their sessions.
    ///
    /// - Parameter granted: For each session how many tokens its draft may have.
    /// - Returns: Drafts that could be drawn, none of them longer.
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

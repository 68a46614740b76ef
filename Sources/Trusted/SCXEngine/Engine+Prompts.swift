import SCXLink
import SCXProfiles

/// Prompts that a profile cannot split over steps: which of them are computed together, and how many blocks a step
/// computes.
extension Engine {
    /// The first group with blocks left to compute for the work that was granted to it; nil when there is none.
    var dueGroup: PromptGroup? { sessions.lazy.compactMap(\.group).first(where: \.isDue) }

    /// The prompt of a session, if it cannot be split and no step has computed a block of it; nil otherwise.
    func unbegun(_ place: Int, isScheduled: Bool) -> UnbegunPrompt? {
        let session = sessions[place]
        guard !forward.splitsPrompts, session.group == nil, !session.isGenerating, session.waiting > 0,
            let kind = forward.promptKind(of: session.segment(of: session.waiting))
        else { return nil }
        return UnbegunPrompt(
            place: place, tokens: session.waiting, kind: kind, isScheduled: isScheduled,
            isSuspect: session.isSuspect)
    }

    /// Begins the prompts at these places that no step has begun, together with other waiting prompts that may share
    /// their run.
    func beginPrompts(_ places: [Int]) throws(LinkError) {
        let scheduled = places.compactMap { unbegun($0, isScheduled: true) }
        guard !scheduled.isEmpty else { return }
        let others = sessions.indices.filter {
            let session = sessions[$0]
            return session.finished == nil && !session.isPaused && !session.isDrawing && !places.contains($0)
        }
        for group in UnbegunPrompt.groups(
            of: scheduled + others.compactMap { unbegun($0, isScheduled: false) })
        {
            let batch = group.map { prompt in
                (place: prompt.place, segment: sessions[prompt.place].segment(of: prompt.tokens))
            }
            let run = try charge(batch) { () throws(LinkError) in
                try forward.begin(batch.map(\.segment))
            }
            guard let run else { preconditionFailure("Engine: a prompt that must come whole has no run") }
            let members = PromptGroup(run, batch.map { (sessions[$0.place].id, $0.segment) })
            for (place, _) in batch { sessions[place].group = members }
        }
    }

    /// Computes the next block of a group; after the last block, draws the first token of each of its sessions.
    func advance(_ group: PromptGroup, _ events: inout [SessionEvent]) throws(LinkError) {
        let batch = group.members.compactMap { member in
            sessions.firstIndex { $0.id == member.session }.map { (place: $0, segment: member.segment) }
        }
        let results = try charge(batch) { () throws(LinkError) in try group.run.advance() }
        guard let results else { return }
        for ((place, segment), result) in zip(batch, results) {
            events += take(result, place, segment, drafted: 0)
        }
    }
}

import SCXLink
package import SCXProfiles

/// Prompts of one or more sessions that are computed together, block by block.
///
/// Not thread-safe: one engine owns it.
final class PromptGroup {
    let run: any PromptRun
    /// The sessions that are still computed by the run, in the order of its results.
    private(set) var members: [(session: SessionID, segment: BatchSegment)]
    /// The number of tokens, over all sessions, for which work was granted.
    private(set) var granted = 0

    /// Makes a group to which no work is granted yet.
    init(_ run: any PromptRun, _ members: [(session: SessionID, segment: BatchSegment)]) {
        self.run = run
        self.members = members
    }

    /// Whether work was granted that is not done yet.
    var isDue: Bool {
        let tokens = members.reduce(0) { $0 + $1.segment.tokens.count }
        return run.progress * Double(tokens) < Double(granted)
    }

    /// Grants work for `tokens` more tokens.
    func grant(_ tokens: Int) { granted += tokens }

    /// Removes a session; the others continue.
    func drop(_ session: SessionID) {
        guard let index = members.firstIndex(where: { $0.session == session }) else { return }
        run.drop(members.remove(at: index).segment.slot)
    }
}

/// A prompt of which no step has computed anything.
package struct UnbegunPrompt: Equatable {
    /// The place of its session in the engine's list.
    package let place: Int
    let tokens: Int
    let kind: PromptKind
    /// Whether the scheduler gave tokens of this step to the prompt.
    let isScheduled: Bool
    /// Whether the prompt has to be computed alone, because a step with it failed.
    let isSuspect: Bool

    package init(place: Int, tokens: Int, kind: PromptKind, isScheduled: Bool, isSuspect: Bool) {
        self.place = place
        self.tokens = tokens
        self.kind = kind
        self.isScheduled = isScheduled
        self.isSuspect = isSuspect
    }

    /// Up to this number of rows, it pays to compute prompts together.
    ///
    /// Multiplying few rows together costs less than one by one, and a profile may have to add redundant rows to a
    /// small exchange.
    private static let fewRows = 100
    /// The most tokens of prompts that share a run, the same as in a step of a profile that can split prompts.
    private static let mostTokens = 512

    /// Divides prompts into groups that are computed together.
    ///
    /// Each scheduled prompt is in one group. Another prompt joins it if it at most doubles the group's tokens, or has
    /// at most 100 tokens, so that a short prompt never waits for a long one. The shortest join first.
    ///
    /// - Parameter prompts: The prompts that no step has begun, in any order.
    /// - Returns: The groups. A prompt that is not scheduled and fits into no group is left out.
    package static func groups(of prompts: [UnbegunPrompt]) -> [[UnbegunPrompt]] {
        var left = prompts.sorted { ($0.tokens, $0.place) < ($1.tokens, $1.place) }
        var groups: [[UnbegunPrompt]] = []
        while let index = left.firstIndex(where: \.isScheduled) {
            let first = left.remove(at: index)
            var (group, tokens) = ([first], first.tokens)
            if first.kind != .alone, !first.isSuspect {
                left.removeAll { next in
                    guard next.kind == first.kind, !next.isSuspect,
                        next.tokens <= max(Self.fewRows, tokens), tokens + next.tokens <= Self.mostTokens
                    else { return false }
                    group.append(next)
                    tokens += next.tokens
                    return true
                }
            }
            groups.append(group)
        }
        return groups
    }
}

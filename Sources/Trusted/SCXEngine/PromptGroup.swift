import SCXLink
package import SCXProfiles

/// Prompts of one or more sessions that are computed together, block by block.
///
/// Not thread-safe: one engine owns it.
final class PromptGroup {
    let run: any PromptRun
    /// The sessions that are left, in the order of the run's results.
    private(set) var members: [(session: SessionID, segment: BatchSegment)]
    /// How many tokens' worth of work was granted to all of them.
    private(set) var granted = 0

    /// Makes a group to which no work was granted.
    init(_ run: any PromptRun, _ members: [(session: SessionID, segment: BatchSegment)]) {
        self.run = run
        self.members = members
    }

    /// Whether more work was granted than is done.
    var isDue: Bool {
        let tokens = members.reduce(0) { $0 + $1.segment.tokens.count }
        return run.progress * Double(tokens) < Double(granted)
    }

    /// Grants work for some tokens more.
    func grant(_ tokens: Int) { granted += tokens }

    /// Goes on without a session.
    func drop(_ session: SessionID) {
        guard let index = members.firstIndex(where: { $0.session == session }) else { return }
        run.drop(members.remove(at: index).segment.slot)
    }
}

/// A prompt that no step has begun.
package struct UnbegunPrompt: Equatable {
    /// The place of its session.
    package let place: Int
    let tokens: Int
    let kind: PromptKind
    /// Whether this step is to compute a part of it.
    let isScheduled: Bool
    /// Whether it is computed alone, since a step with it failed.
    let isSuspect: Bool

    package init(place: Int, tokens: Int, kind: PromptKind, isScheduled: Bool, isSuspect: Bool) {
        self.place = place
        self.tokens = tokens
        self.kind = kind
        self.isScheduled = isScheduled
        self.isSuspect = isSuspect
    }

    /// Few rows cost less when a worker multiplies them together, and a profile may add redundant ones to them: up to so
    /// many, a prompt gains by others.
    private static let fewRows = 100
    /// The most tokens that share a run, as in a step of a profile that need not compute prompts whole.
    private static let mostTokens = 512

    /// Divides prompts into groups that are computed together.
    ///
    /// Each prompt that is scheduled is in one group. Others join where they at most double the work, or where it is
    /// little, so that a short prompt never waits for a long one; the shortest join first.
    ///
    /// - Parameter prompts: In any order.
    /// - Returns: The groups. A prompt that is not scheduled, and that fits into no group, is in none.
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

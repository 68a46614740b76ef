/// How long a session's next draft may be.
///
/// The rule: an exponential mean of the tokens that each draft had accepted, the last one with a quarter of the weight;
/// a draft accepted whole counts twice, since more might have been. The next draft has one token more than the mean,
/// rounded up. Below 0.4 tokens a draft the rows cost more than they save: then there is none for 16 steps, after which
/// a short one tries again.
struct DraftLength: Equatable, Sendable {
    private static let weight = 0.25
    private static let leastMean = 0.4
    private static let stepsOfPause = 16

    private let longest: Int
    private var mean: Double
    /// Steps to go without a draft.
    private var pause = 0

    /// - Parameter longest: Most tokens of a draft; 0 for none ever.
    init(longest: Int) {
        self.longest = longest
        mean = Double(min(longest, 2))
    }

    /// Most tokens of the next draft.
    var next: Int { pause > 0 ? 0 : min(longest, Int(mean.rounded(.up)) + 1) }

    /// Learns from a step that drew tokens; without a draft it only brings the end of a pause nearer.
    mutating func add(proposed: Int, accepted: Int) {
        guard proposed > 0 else {
            pause = max(0, pause - 1)
            return
        }
        let counted = min(longest, accepted == proposed ? 2 * accepted : accepted)
        mean += (Double(counted) - mean) * Self.weight
        if mean < Self.leastMean { pause = Self.stepsOfPause }
    }
}

/// Chooses how long a session's next draft may be.
///
/// It keeps an exponential mean of the number of accepted tokens of each draft, in which the latest draft has a weight
/// of a quarter. A draft that was accepted completely counts twice, since more tokens might have been accepted. The
/// next draft has one token more than the mean, rounded up. When the mean falls below 0.4 tokens a draft, the rows of
/// drafts cost more than they save: then there is no draft for 16 steps, after which a short one is tried.
struct DraftLength: Equatable, Sendable {
    private static let weight = 0.25
    private static let leastMean = 0.4
    private static let stepsOfPause = 16

    private let longest: Int
    private var mean: Double
    /// Steps left without a draft.
    private var pause = 0

    /// - Parameter longest: The most tokens of a draft; 0 for no drafts.
    init(longest: Int) {
        self.longest = longest
        mean = Double(min(longest, 2))
    }

    /// The most tokens of the next draft.
    var next: Int { pause > 0 ? 0 : min(longest, Int(mean.rounded(.up)) + 1) }

    /// Takes the outcome of a step into account; a step without a draft only shortens a pause.
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

/// Which processes are killed in an endurance run, and when; the same for the same seed.
struct EndurePlan: Sendable {
    enum Victim: Equatable, Sendable {
        case worker(Int)
        case peer
        /// The trusted side.
        case trusted
    }

    struct Kill: Equatable, Sendable {
        let victim: Victim
        /// How many answers come before it, as a fraction of all.
        let after: Double
        /// How many seconds after that it happens, in the middle of whatever is being computed.
        let delay: Double
        /// After how many seconds the killed process is started again.
        let downtime: Double
    }

    let kills: [Kill]

    /// Draws kills that are spread over the run.
    ///
    /// - Parameters:
    ///   - count: How many kills there are.
    ///   - workers: How many main workers may be killed.
    ///   - killsTrusted: Whether the trusted side is killed too, a third of the times.
    ///   - seed: Determines moments and victims.
    init(count: Int, workers: Int, killsTrusted: Bool, seed: UInt64) {
        var random = LoadRandom(seed: seed)
        let others: [Victim] = (0..<workers).map { .worker($0) } + [.peer]
        kills = (0..<count).map { index in
            let isTrusted = killsTrusted && Int.random(in: 0..<3, using: &random) == 0
            let victim = isTrusted ? .trusted : others.randomElement(using: &random) ?? .peer
            return Kill(
                victim: victim,
                after: 0.98 * (Double(index) + Double.random(in: 0..<1, using: &random)) / Double(count),
                delay: Double.random(in: 0..<0.3, using: &random),
                downtime: Double.random(in: 0..<(isTrusted ? 0.3 : 1.5), using: &random))
        }
    }
}

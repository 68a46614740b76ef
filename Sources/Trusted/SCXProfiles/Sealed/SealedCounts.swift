import Synchronization

/// What happened to the products of profile `sealed`, and how the trusted side spent its time; for reports and
/// metrics.
package final class SealedCounts: Sendable {
    /// What was counted so far.
    package struct Values: Equatable, Sendable {
        /// Answers that were refused because they were not the right product.
        package var refused = 0
        /// Rows of sites whose product the trusted side computed itself, because no worker gave the right one.
        package var computedHere = 0
        /// Rows that were padded and sent, summed over all sites; rows that were sent again count again.
        package var padded = 0
        /// Seconds that the trusted side's thread spent on each part.
        package var seconds: [Part: Double] = [:]
    }

    /// The parts of the trusted side's work.
    package enum Part: String, CaseIterable, Sendable {
        /// Rounding rows to integers.
        case round
        /// Taking pads from the bank; if it has none, this includes waiting for them.
        case pads
        /// Expanding pads and adding them.
        case encode
        /// Computing the expected values of the checks, while the worker multiplies.
        case sketch
        /// Sending, and waiting for answers: the link and the worker.
        case link
        /// Subtracting the products of pads, scaling, and verifying.
        case open
        /// Attention, rotation and the cache.
        case attention
    }

    private let state = Mutex(Values())

    package init() {}

    package var values: Values { state.withLock { $0 } }

    func add(refused: Int = 0, computedHere: Int = 0, padded: Int = 0) {
        state.withLock {
            $0.refused += refused
            $0.computedHere += computedHere
            $0.padded += padded
        }
    }

    /// Runs some work, and counts the time that it takes.
    func time<Result: ~Copyable, Failure: Error>(
        _ part: Part, _ work: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let start = ContinuousClock.now
        defer { add(part, since: start) }
        return try work()
    }

    /// Counts the time since a moment.
    func add(_ part: Part, since start: ContinuousClock.Instant) {
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        state.withLock { $0.seconds[part, default: 0] += seconds }
    }
}

import Synchronization

/// What happened to the products of profile `sealed`, and where this side's time went: for reports and metrics.
package final class SealedCounts: Sendable {
    package struct Values: Equatable, Sendable {
        /// Answers that were refused since they were not the product.
        package var refused = 0
        /// Rows of sites whose product was computed here, since no worker gave it.
        package var computedHere = 0
        /// Rows of sites that were padded and sent, those that were sent again counted again.
        package var padded = 0
        /// Seconds of this side's thread, by what it did.
        package var seconds: [Part: Double] = [:]
    }

    /// The parts of this side's work.
    package enum Part: String, CaseIterable, Sendable {
        /// Rounding rows to integers.
        case round
        /// Taking pads from the bank, which waits for them when it is dry.
        case pads
        /// Expanding pads and adding them.
        case encode
        /// What products must amount to, computed while the worker multiplies.
        case sketch
        /// Sending, and waiting for answers: the link and the worker.
        case link
        /// Taking pads off, scaling, and verifying.
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

    /// Does work, and counts the time that it takes.
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

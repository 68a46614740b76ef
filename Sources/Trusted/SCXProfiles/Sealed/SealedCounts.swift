import Synchronization

/// What happened to the products of profile `sealed`, for reports and metrics.
package final class SealedCounts: Sendable {
    package struct Values: Equatable, Sendable {
        /// Answers that were refused since they were not the product.
        package var refused = 0
        /// Rows of sites whose product was computed here, since no worker gave it.
        package var computedHere = 0
    }

    private let state = Mutex(Values())

    package init() {}

    package var values: Values { state.withLock { $0 } }

    func add(refused: Int = 0, computedHere: Int = 0) {
        state.withLock {
            $0.refused += refused
            $0.computedHere += computedHere
        }
    }
}

import Foundation

/// Which of several workers or sources of pads can be asked now, and the attempts to reach lost ones again.
///
/// One that is lost is connected to again on a thread of its own, so that nobody waits for it while another can be
/// asked. When all are lost, ``usable(besides:)`` waits until the first attempt to reach one of them again is over.
/// After that it returns at once, with none, until one can be reached again.
package final class Availability: @unchecked Sendable {
    private enum Condition {
        case ready
        /// It answers, but is not relied on: it is asked only when no other can be.
        case suspended(until: ContinuousClock.Instant)
        /// Its connection is gone.
        ///
        /// `isAwaited` is true during the first attempt to connect again.
        case lost(isAwaited: Bool)
    }

    // This lock guards everything below.
    private let lock = NSCondition()
    private var conditions: [Condition]
    private var suspensions: [Int]
    private var isClosed = false

    /// How long the first suspension lasts; each further one is twice as long, up to 5 minutes.
    private static let firstSuspension = Duration.seconds(2)
    private static let longestSuspension = Duration.seconds(300)
    /// Pauses in seconds between attempts to connect again; each is twice the last.
    private static let pauses = (first: 0.5, longest: 60.0)

    /// Makes a list of which all are ready.
    ///
    /// - Parameter count: How many there are.
    package init(count: Int) {
        conditions = Array(repeating: .ready, count: count)
        suspensions = Array(repeating: 0, count: count)
    }

    /// Those that are ready, including those whose suspension is over.
    package var ready: [Int] { lock.withLock { readyNow } }

    private var readyNow: [Int] {
        let now = ContinuousClock.now
        return conditions.indices.filter { index in
            switch conditions[index] {
            case .ready: true
            case .suspended(let until): until <= now
            case .lost: false
            }
        }
    }

    /// Those to ask: all that are ready; if none is, the suspended one whose suspension ends first; if all are lost,
    /// it waits.
    ///
    /// - Parameter excluded: Those that must not be asked, whatever their state.
    /// - Returns: Empty when all are lost and the first attempts to reach them again have failed.
    package func usable(besides excluded: Set<Int> = []) -> [Int] {
        lock.withLock {
            while !isClosed {
                let ready = readyNow.filter { !excluded.contains($0) }
                if !ready.isEmpty { return ready }
                var next: (index: Int, until: ContinuousClock.Instant)?
                var isAwaiting = false
                for index in conditions.indices where !excluded.contains(index) {
                    switch conditions[index] {
                    case .ready: break
                    case .suspended(let until):
                        if until < next?.until ?? until + .seconds(1) { next = (index, until) }
                    case .lost(let isAwaited): isAwaiting = isAwaiting || isAwaited
                    }
                }
                if let next { return [next.index] }
                guard isAwaiting else { return [] }
                lock.wait()
            }
            return []
        }
    }

    /// Suspends one for a time that grows with each suspension.
    ///
    /// - Parameter index: Its number.
    /// - Returns: How long it is suspended.
    @discardableResult
    package func suspend(_ index: Int) -> Duration {
        lock.withLock {
            let pause = min(
                Self.firstSuspension * (1 << min(suspensions[index], 8)), Self.longestSuspension)
            suspensions[index] += 1
            if case .lost = conditions[index] { return pause }
            conditions[index] = .suspended(until: .now + pause)
            return pause
        }
    }

    /// Marks one as lost until it can be reached again.
    ///
    /// - Parameters:
    ///   - index: Its number.
    ///   - repair: Called on another thread, with growing pauses, until it returns true.
    /// - Returns: False when it was lost already.
    @discardableResult
    package func lose(_ index: Int, repair: @escaping @Sendable () -> Bool) -> Bool {
        let isNew = lock.withLock { () -> Bool in
            if case .lost = conditions[index] { return false }
            conditions[index] = .lost(isAwaited: true)
            return true
        }
        guard isNew else { return false }
        let thread = Thread { [self] in bringBack(index, repair) }
        thread.name = "scx repair"
        thread.start()
        return true
    }

    private func bringBack(_ index: Int, _ repair: () -> Bool) {
        var pause = Self.pauses.first
        while !lock.withLock({ isClosed }) {
            let isBack = repair()
            let isDone = lock.withLock { () -> Bool in
                conditions[index] = isBack ? .ready : .lost(isAwaited: false)
                lock.broadcast()
                guard !isBack else { return true }
                let end = Date(timeIntervalSinceNow: pause)
                while !isClosed, lock.wait(until: end) {}
                return isClosed
            }
            if isDone { return }
            pause = min(2 * pause, Self.pauses.longest)
        }
    }

    /// Ends the attempts to reach others again, and makes those return who wait for one.
    package func close() {
        lock.withLock {
            isClosed = true
            lock.broadcast()
        }
    }
}

import Foundation

/// Which of several workers or sources can be asked now, and who brings the lost ones back.
///
/// One that is lost is connected to again on a thread of its own, so that nobody waits for it while another can be asked.
/// When all are lost, ``usable(besides:)`` waits for as long as the first attempt to bring one of them back lasts. After that
/// callers are told at once that there is none, until one is back.
package final class Availability: @unchecked Sendable {
    private enum Condition {
        case ready
        /// It answers, but not to be relied on: asked when nobody else is there.
        case suspended(until: ContinuousClock.Instant)
        /// Its connection is gone; `isAwaited` during the first attempt to make it anew.
        case lost(isAwaited: Bool)
    }

    // All below is guarded by it.
    private let lock = NSCondition()
    private var conditions: [Condition]
    private var suspensions: [Int]
    private var isClosed = false

    /// How long one is suspended at first; doubled each time, up to 5 minutes.
    private static let firstSuspension = Duration.seconds(2)
    private static let longestSuspension = Duration.seconds(300)
    /// Pause after an attempt to bring one back; doubled each time.
    private static let pauses = (first: 0.5, longest: 60.0)

    /// - Parameter count: Of those that can be asked; all are ready.
    package init(count: Int) {
        conditions = Array(repeating: .ready, count: count)
        suspensions = Array(repeating: 0, count: count)
    }

    /// Those that are ready, whatever the others do; those whose suspension is over among them.
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

    /// Those that are to be asked: all that are ready; else the suspended one that is ready next; else it waits.
    ///
    /// - Parameter excluded: Are not asked, whatever their condition.
    /// - Returns: None when all are lost, and the first attempts to bring them back have failed.
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

    /// Asks one no more for a while that grows each time.
    ///
    /// - Parameter index: Its number.
    /// - Returns: How long.
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

    /// Asks one no more until it was brought back.
    ///
    /// - Parameters:
    ///   - index: Its number.
    ///   - repair: Called on another thread until it returns true, with pauses that grow.
    /// - Returns: False when it was lost before.
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

    /// Ends attempts to bring somebody back, and waits for one.
    package func close() {
        lock.withLock {
            isClosed = true
            lock.broadcast()
        }
    }
}

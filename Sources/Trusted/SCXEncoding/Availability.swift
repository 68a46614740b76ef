import Foundation
package import SCXLink
import Synchronization

/// Which of several workers or sources of pads can be asked now, and the attempts to reach lost ones again.
///
/// One that is lost is connected to again on a thread of its own, so that nobody waits for it while another can be
/// asked. When all are lost, ``usable(besides:)`` waits until the first attempt to reach one of them again is over.
/// After that it returns at once, with none, until one can be reached again.
///
/// All times are those of a clock that nobody can set.
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
    /// Until when each is excluded, whatever its condition.
    private var barred: [ContinuousClock.Instant?]
    /// How often each was suspended or excluded.
    private var suspensions: [Int]
    private var isClosed = false
    private let now: @Sendable () -> ContinuousClock.Instant

    /// How long the first suspension or exclusion lasts; each further one is twice as long, up to 5 minutes.
    private static let firstSuspension = Duration.seconds(2)
    private static let longestSuspension = Duration.seconds(300)
    /// Pauses between attempts to connect again; each is twice the last.
    private static let pauses = (first: Duration.milliseconds(500), longest: Duration.seconds(60))

    /// Makes a list of which all are ready.
    ///
    /// - Parameters:
    ///   - count: How many there are.
    ///   - now: Returns the time, by which suspensions and exclusions end.
    package init(
        count: Int, now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        conditions = Array(repeating: .ready, count: count)
        barred = Array(repeating: nil, count: count)
        suspensions = Array(repeating: 0, count: count)
        self.now = now
    }

    /// Those that are ready, including those whose suspension is over.
    package var ready: [Int] { lock.withLock { readyNow } }

    private var readyNow: [Int] {
        let now = now()
        return conditions.indices.filter { index in
            guard !isBarred(index, now) else { return false }
            return switch conditions[index] {
            case .ready: true
            case .suspended(let until): until <= now
            case .lost: false
            }
        }
    }

    private func isBarred(_ index: Int, _ now: ContinuousClock.Instant) -> Bool {
        barred[index].map { $0 > now } ?? false
    }

    /// Those that are excluded now.
    package var barredNow: [Int] {
        lock.withLock {
            let now = now()
            return barred.indices.filter { isBarred($0, now) }
        }
    }

    /// Those to ask: all that are ready; if none is, the suspended one whose suspension ends first; if all are lost,
    /// it waits.
    ///
    /// - Parameter excluded: Those that must not be asked, whatever their state.
    /// - Returns: Empty when all are barred, or are lost and the first attempts to reach them again have failed.
    package func usable(besides excluded: Set<Int> = []) -> [Int] {
        lock.withLock {
            while !isClosed {
                let ready = readyNow.filter { !excluded.contains($0) }
                if !ready.isEmpty { return ready }
                let now = now()
                var next: (index: Int, until: ContinuousClock.Instant)?
                var isAwaiting = false
                for index in conditions.indices where !excluded.contains(index) && !isBarred(index, now) {
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

    /// Suspends one for a time that grows with each suspension: it is asked only when no other can be.
    ///
    /// - Parameter index: Its number.
    /// - Returns: How long it is suspended; nil when it is suspended or lost already, which does not change.
    package func suspend(_ index: Int) -> Duration? {
        lock.withLock {
            let now = now()
            switch conditions[index] {
            case .lost: return nil
            case .suspended(let until) where until > now: return nil
            case .ready, .suspended: break
            }
            let pause = nextPause(index)
            conditions[index] = .suspended(until: now + pause)
            return pause
        }
    }

    /// Excludes one for a time that grows each time: it is not asked even when no other can be, nor after it was
    /// connected to again.
    ///
    /// - Parameter index: Its number.
    /// - Returns: How long; nil when it is excluded already, which does not change.
    package func bar(_ index: Int) -> Duration? {
        lock.withLock {
            let now = now()
            guard !isBarred(index, now) else { return nil }
            let pause = nextPause(index)
            barred[index] = now + pause
            return pause
        }
    }

    private func nextPause(_ index: Int) -> Duration {
        defer { suspensions[index] += 1 }
        return min(Self.firstSuspension * (1 << min(suspensions[index], 8)), Self.longestSuspension)
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

    /// Marks one as lost until it can be connected to again, and warns about it.
    ///
    /// - Parameters:
    ///   - index: Its number.
    ///   - name: Its name in warnings.
    ///   - error: Why it is lost.
    ///   - warn: Called with one line when it is left out, one when it turns out that it cannot be used any more, and
    ///     one when it is back.
    ///   - connect: Called on another thread, with growing pauses, until it does not throw.
    package func lose(
        _ index: Int, named name: String, _ error: LinkError, warn: @escaping @Sendable (String) -> Void,
        connect: @escaping @Sendable () throws(LinkError) -> Void
    ) {
        let told = Mutex("\(error)")
        let isNew = lose(index) {
            do throws(LinkError) { try connect() } catch {
                // A worker that is only gone comes back by itself; one of another model or role does not.
                if case .incompatible = error {
                    let reason = "\(error)"
                    let isNews = told.withLock { told in
                        defer { told = reason }
                        return told != reason
                    }
                    if isNews { warn("\(name) stays left out: \(reason)") }
                }
                return false
            }
            warn("\(name) is back")
            return true
        }
        if isNew { warn("\(name) is left out until it is back: \(error)") }
    }

    private func bringBack(_ index: Int, _ repair: () -> Bool) {
        var pause = Self.pauses.first
        while !lock.withLock({ isClosed }) {
            let isBack = repair()
            lock.withLock {
                conditions[index] = isBack ? .ready : .lost(isAwaited: false)
                lock.broadcast()
            }
            if isBack { return }
            // In slices: waits on a condition end at a time of day, which may be set back.
            let end = ContinuousClock.now + pause
            while ContinuousClock.now < end, !lock.withLock({ isClosed }) {
                Thread.sleep(forTimeInterval: 0.05)
            }
            pause = min(pause * 2, Self.pauses.longest)
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

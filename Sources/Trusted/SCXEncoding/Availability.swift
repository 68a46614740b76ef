import Foundation
package import SCXLink
import Synchronization

/// Which of several workers or sources of pads can be asked now, and the attempts to reach lost ones again.
///
/// One that is lost is connected to again on a thread of its own, so that nobody waits for it while another can be asked.
/// When all are lost, ``usable(besides:)`` waits for as long as the first attempt to bring one of them back lasts. After that
/// callers are told at once that there is none, until one is back.
///
/// Times are those of a clock that nobody sets.
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
    /// Until when one is barred, whatever its condition.
    private var barred: [ContinuousClock.Instant?]
    /// How often one was suspended or barred.
    private var suspensions: [Int]
    private var isClosed = false
    private let now: @Sendable () -> ContinuousClock.Instant

    /// How long one is suspended or barred at first; doubled each time, up to 5 minutes.
    private static let firstSuspension = Duration.seconds(2)
    private static let longestSuspension = Duration.seconds(300)
    /// Pause after an attempt to bring one back; doubled each time.
    private static let pauses = (first: Duration.milliseconds(500), longest: Duration.seconds(60))

    /// - Parameters:
    ///   - count: Of those that can be asked; all are ready.
    ///   - now: Tells the time.
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

    /// Those that are barred now.
    package var barredNow: [Int] {
        lock.withLock {
            let now = now()
            return barred.indices.filter { isBarred($0, now) }
        }
    }

    /// Those that are to be asked: all that are ready; else the suspended one that is ready next; else it waits.
    ///
    /// - Parameter excluded: Are not asked, whatever their condition.
    /// - Returns: None when all are barred, or lost and the first attempts to bring them back have failed.
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

    /// Asks one no more while others can be asked, for a while that grows each time.
    ///
    /// - Parameter index: Its number.
    /// - Returns: How long; nil when it was suspended or lost before, which stays as it is.
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

    /// Asks one no more, whoever else is there, for a while that grows each time; also when it is connected to again.
    ///
    /// - Parameter index: Its number.
    /// - Returns: How long; nil when it was barred before, which stays as it is.
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

    /// Asks one no more until it was brought back.
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

    /// Asks one no more until it can be connected to again, and tells so.
    ///
    /// - Parameters:
    ///   - index: Its number.
    ///   - name: What people call it.
    ///   - error: Why it is lost.
    ///   - warn: Told once that it is left out, once why it cannot be used any more, and once that it is back.
    ///   - connect: Called on another thread until it succeeds.
    package func lose(
        _ index: Int, named name: String, _ error: LinkError, warn: @escaping @Sendable (String) -> Void,
        connect: @escaping @Sendable () throws(LinkError) -> Void
    ) {
        let told = Mutex("\(error)")
        let isNew = lose(index) {
            do throws(LinkError) { try connect() } catch {
                // What is merely gone comes back by itself; another model or owner stays until somebody changes it.
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

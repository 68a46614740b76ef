import Foundation
package import SCXLink
import Synchronization

/// Keeps track of which workers, or which sources of pads, can be asked now, and connects again to those that are lost.
///
/// Below, a *member* is one worker or source, named by its index. A lost member is connected to again on a thread of
/// its own, so that nobody waits for it while another can be asked. While all members are lost, ``usable(besides:)``
/// waits until the first attempt to reach one of them again has ended. After that it returns at once, without a member,
/// until one can be reached again.
///
/// All times are those of a clock that cannot be set.
package final class Availability: @unchecked Sendable {
    private enum Condition {
        case ready
        /// The member answers, but is trusted less: it is asked only when no ready one can be.
        case suspended(until: ContinuousClock.Instant)
        /// The connection to the member is gone.
        ///
        /// `isAwaited` is true during the first attempt to connect again.
        case lost(isAwaited: Bool)
    }

    // This lock guards everything below.
    private let lock = NSCondition()
    private var conditions: [Condition]
    /// For each member, until when it is excluded, whatever its condition; nil if it never was.
    private var barred: [ContinuousClock.Instant?]
    /// For each member, how often it was suspended or excluded.
    private var suspensions: [Int]
    private var isClosed = false
    private let now: @Sendable () -> ContinuousClock.Instant

    /// How long a member's first suspension or exclusion lasts; each further one is twice as long, up to 5 minutes.
    private static let firstSuspension = Duration.seconds(2)
    private static let longestSuspension = Duration.seconds(300)
    /// The pauses between attempts to connect again; each is twice the one before, up to the longest.
    private static let pauses = (first: Duration.milliseconds(500), longest: Duration.seconds(60))

    /// Makes a list of members that are all ready.
    ///
    /// - Parameters:
    ///   - count: The number of members.
    ///   - now: Returns the current time, which decides when suspensions and exclusions end.
    package init(
        count: Int, now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        conditions = Array(repeating: .ready, count: count)
        barred = Array(repeating: nil, count: count)
        suspensions = Array(repeating: 0, count: count)
        self.now = now
    }

    /// The members that are ready, including those whose suspension is over.
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

    /// The members that are excluded now.
    package var barredNow: [Int] {
        lock.withLock {
            let now = now()
            return barred.indices.filter { isBarred($0, now) }
        }
    }

    /// Chooses the members to ask.
    ///
    /// These are all that are ready. If none is ready, it is the suspended member whose suspension ends first. If all
    /// are lost, the call waits for the first attempt to reach one of them again.
    ///
    /// - Parameter excluded: Members that must not be asked, whatever their state.
    /// - Returns: The members; none when all are excluded, or are lost and could not be reached again.
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

    /// Suspends a member, so that it is asked only when no ready one can be.
    ///
    /// - Parameter index: The member.
    /// - Returns: How long the suspension lasts, longer each time; nil when the member is suspended or lost already,
    ///   which does not change.
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

    /// Excludes a member, so that it is not asked even when no other can be, nor after it was connected to again.
    ///
    /// - Parameter index: The member.
    /// - Returns: How long the exclusion lasts, longer each time; nil when the member is excluded already, which does
    ///   not change.
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

    /// Marks a member as lost until it can be reached again.
    ///
    /// - Parameters:
    ///   - index: The member.
    ///   - repair: Tries to reach the member; called on another thread, with growing pauses, until it returns true.
    /// - Returns: False when the member was lost already.
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

    /// Marks a member as lost until it can be connected to again, and warns about it.
    ///
    /// - Parameters:
    ///   - index: The member.
    ///   - name: The member's name in warnings.
    ///   - error: Why it is lost.
    ///   - warn: Called with one line when the member is left out, one when it turns out that it cannot be used any
    ///     more, and one when it is back.
    ///   - connect: Called on another thread, with growing pauses, until it does not throw.
    package func lose(
        _ index: Int, named name: String, _ error: LinkError, warn: @escaping @Sendable (String) -> Void,
        connect: @escaping @Sendable () throws(LinkError) -> Void
    ) {
        let told = Mutex("\(error)")
        let isNew = lose(index) {
            do throws(LinkError) { try connect() } catch {
                // A worker that has only stopped is often started again; one with another model or role does not change
                // by itself.
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
            // The wait is in short slices of this clock, since a wait on a condition ends at a time of day, which may
            // be set back.
            let end = ContinuousClock.now + pause
            while ContinuousClock.now < end, !lock.withLock({ isClosed }) {
                Thread.sleep(forTimeInterval: 0.05)
            }
            pause = min(pause * 2, Self.pauses.longest)
        }
    }

    /// Ends all attempts to reach lost members, and makes calls that wait for one return.
    package func close() {
        lock.withLock {
            isClosed = true
            lock.broadcast()
        }
    }
}

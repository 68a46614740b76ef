import Foundation
package import SCXText
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Threads that search for the tokens that constrained answers may have next, beside the engine's thread.
///
/// A long search is done in parts, and the search with the fewest steps so far goes first. So expensive searches wait
/// for each other, and cheap ones do not wait for them. One thread does the first parts of all searches; a second
/// thread, with a lower priority, continues the long ones. A thread is started when there is first something to do.
package final class MaskWorkers: Sendable {
    private let queue: MaskQueue

    /// Makes workers whose threads are not started yet.
    ///
    /// - Parameter areIdle: Whether no search is ever done, for tests.
    package init(areIdle: Bool = false) { queue = MaskQueue(areIdle: areIdle) }

    deinit { queue.close() }

    /// Starts a search on one of the threads; it is given up when nobody holds the returned job any more.
    package func begin(_ search: MaskSearch) -> MaskJob {
        let job = MaskJob()
        queue.add(search, for: job)
        return job
    }

    /// Waits until a search has ended since the last call of this function, but at most for some milliseconds.
    package func wait(milliseconds: Int) { queue.wait(milliseconds: milliseconds) }
}

/// A search that was started.
package final class MaskJob: Sendable {
    /// The result of a search.
    package enum Outcome: Sendable {
        /// The tokens that may come next.
        case found(TokenMask)
        /// The grammar is too ambiguous.
        case failed(ConstraintError)
    }

    private let state = Mutex<Outcome?>(nil)

    /// The result; nil while the search is not done.
    package var outcome: Outcome? { state.withLock { $0 } }

    fileprivate func end(_ outcome: Outcome) { state.withLock { $0 = outcome } }
}

/// The queue of searches, and the threads that work on them.
private final class MaskQueue: @unchecked Sendable {
    private struct Entry {
        var search: MaskSearch
        weak var job: MaskJob?
    }

    private let areIdle: Bool
    // Everything below is guarded by `condition`.
    private let condition = NSCondition()
    private var entries: [Entry] = []
    private var hasQuickThread = false
    private var hasLongThread = false
    private var isClosed = false
    private var hasEnded = false
    private let ended = NSCondition()

    private static let stackBytes = 1 << 20
    private static let mostYields = 200
    /// A search that has taken this number of steps is a long one.
    private static let quickSteps = 32_768
    /// The niceness of the two threads, which lowers their priority below that of the engine's thread.
    private static let quickNiceness: Int32 = 3
    private static let longNiceness: Int32 = 10

    init(areIdle: Bool) { self.areIdle = areIdle }

    func add(_ search: MaskSearch, for job: MaskJob) { put(Entry(search: search, job: job)) }

    /// Adds an entry to the queue, and starts the thread for quick or for long searches if it does not run yet.
    private func put(_ entry: Entry) {
        condition.withLock {
            guard !areIdle, !isClosed else { return }
            let isQuick = Self.isQuick(entry)
            entries.append(entry)
            condition.broadcast()
            guard !(isQuick ? hasQuickThread : hasLongThread) else { return }
            if isQuick { hasQuickThread = true } else { hasLongThread = true }
            let thread = Thread { [self] in
                lowerPriority(isQuick ? Self.quickNiceness : Self.longNiceness)
                run(isQuick: isQuick)
            }
            thread.name = "scx masks"
            thread.stackSize = Self.stackBytes
            thread.start()
        }
    }

    private static func isQuick(_ entry: Entry) -> Bool { entry.search.steps < quickSteps }

    func close() {
        condition.withLock {
            isClosed = true
            entries = []
            condition.broadcast()
        }
    }

    func wait(milliseconds: Int) {
        ended.withLock {
            let limit = Date(timeIntervalSinceNow: Double(milliseconds) / 1000)
            while !hasEnded { guard ended.wait(until: limit) else { break } }
            hasEnded = false
        }
    }

    private func take(isQuick: Bool) -> Entry? {
        condition.withLock {
            while true {
                if isClosed { return nil }
                entries.removeAll { $0.job == nil }
                let own = entries.indices.filter { Self.isQuick(entries[$0]) == isQuick }
                if let least = own.min(by: { entries[$0].search.steps < entries[$1].search.steps }) {
                    return entries.remove(at: least)
                }
                condition.wait()
            }
        }
    }

    private func run(isQuick: Bool) {
        while var entry = take(isQuick: isQuick) {
            guard let job = entry.job else { continue }
            // The engine may have to wait for a lock that a part of a search holds. A part takes less time than one
            // scheduling interval of the system, so giving up the processor here keeps the thread from being
            // interrupted in the middle of a part.
            sched_yield()
            do throws(ConstraintError) {
                if let mask = try entry.search.advance() {
                    end(job, .found(mask))
                } else {
                    // A lock is not fair: a thread that waits for it gets it only if this thread does not take it again
                    // for a moment.
                    for _ in 0..<Self.mostYields where entry.search.shouldYield { sched_yield() }
                    put(entry)
                }
            } catch { end(job, .failed(error)) }
        }
    }

    private func end(_ job: MaskJob, _ outcome: MaskJob.Outcome) {
        job.end(outcome)
        ended.withLock {
            hasEnded = true
            ended.signal()
        }
    }
}

/// Lowers the priority of the calling thread, on systems where threads have priorities of their own.
package func lowerPriority(_ niceness: Int32) {
    #if os(Linux)
        // On Linux the number 0 is the calling thread, not the process.
        #if canImport(Glibc)
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness)
        #else
            setpriority(PRIO_PROCESS, 0, niceness)
        #endif
    #endif
}

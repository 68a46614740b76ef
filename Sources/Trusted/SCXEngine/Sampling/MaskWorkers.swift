import Foundation
package import SCXText
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Threads that look for the tokens with which constrained answers may go on, beside the thread of the engine.
///
/// A search that is long is done in parts, and the one on which the least was spent goes first: answers to a schema that
/// costs much wait for each other, and nobody else waits for them. One thread does the first parts, another one with a smaller
/// share of the processor the rest. Threads are started when there is something to do.
package final class MaskWorkers: Sendable {
    private let queue: MaskQueue

    /// Makes workers.
    ///
    /// - Parameter areIdle: Whether none ever works, for tests.
    package init(areIdle: Bool = false) { queue = MaskQueue(areIdle: areIdle) }

    deinit { queue.close() }

    /// Has a search done; it is given up when nobody holds the job any more.
    package func begin(_ search: MaskSearch) -> MaskJob {
        let job = MaskJob()
        queue.add(search, for: job)
        return job
    }

    /// Waits until a search has ended since the last call, or for some milliseconds.
    package func wait(milliseconds: Int) { queue.wait(milliseconds: milliseconds) }
}

/// A search on its way.
package final class MaskJob: Sendable {
    /// What a search ends with.
    package enum Outcome: Sendable {
        /// The tokens that continue the text.
        case found(TokenMask)
        /// The grammar is too ambiguous.
        case failed(ConstraintError)
    }

    private let state = Mutex<Outcome?>(nil)

    /// What was found; nil while the search goes on.
    package var outcome: Outcome? { state.withLock { $0 } }

    fileprivate func end(_ outcome: Outcome) { state.withLock { $0 = outcome } }
}

/// The searches that wait, and the threads that take them.
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
    /// Steps after which a search is a long one.
    private static let quickSteps = 32_768
    /// How far the shares of the processor of the two threads are below that of the engine, which computes for everybody.
    private static let quickNiceness: Int32 = 3
    private static let longNiceness: Int32 = 10

    init(areIdle: Bool) { self.areIdle = areIdle }

    func add(_ search: MaskSearch, for job: MaskJob) { put(Entry(search: search, job: job)) }

    /// Has an entry taken by the thread that it is for.
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
            // A part of a search holds what the engine wants to look up. It is shorter than the time for which the system lets a
            // thread compute, so beginning that time anew here keeps the thread from being stopped in the middle of a part.
            sched_yield()
            do throws(ConstraintError) {
                if let mask = try entry.search.advance() {
                    end(job, .found(mask))
                } else {
                    // A lock is not fair: who waits for it needs a moment in which nobody takes it.
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

/// Gives the calling thread a smaller share of the processor, where the system does that for single threads.
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

import CSCXSystem
import Foundation
import SCXEngine
import SCXText
import Synchronization

/// Threads for what takes the processor long before a request is computed: rendering, tokenising, compiling schemas.
///
/// The threads that answer `/health` and carry connections do none of it. Small work has threads of its own, so that it does
/// not wait for large; among API keys the one that was served least lately is next. Work whose client has gone is given
/// up.
package final class WorkPool: Sendable {
    private let quick: WorkLane
    private let slow: WorkLane

    /// Work on more bytes than this counts as large.
    package static let quickBytes = 64 << 10

    /// Makes a pool; its threads are started when there is work.
    package init() {
        quick = WorkLane("scx quick work", threads: 2, waiting: 1024, bytes: 64 << 20, niceness: 2)
        slow = WorkLane("scx work", threads: 1, waiting: 64, bytes: 128 << 20, niceness: 10)
    }

    /// Pieces of work that no thread has taken yet.
    package var waiting: Int { quick.waitingCount + slow.waitingCount }

    /// Pieces of work that wait or are done now.
    package var preparing: Int { waiting + quick.workingCount + slow.workingCount }

    deinit {
        quick.close()
        slow.close()
    }

    /// Does work on one of the threads.
    ///
    /// - Parameters:
    ///   - bytes: What it has to do with, about.
    ///   - key: The API key that it is for.
    ///   - work: What to do; asks ``Interruption`` whether it is still wanted.
    /// - Returns: What the work gives.
    /// - Throws: What the work throws, or ``APIError`` when too much waits already or the client has gone.
    package func run<Value: Sendable>(
        bytes: Int, key: String, _ work: @escaping @Sendable () throws(APIError) -> Value
    ) async throws(APIError) -> Value {
        let lane = bytes > Self.quickBytes ? slow : quick
        let isCancelled = Flag()
        let result: Result<Value, APIError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let job = WorkLane.Job(key: key, bytes: bytes, isCancelled: isCancelled) { error in
                    if let error { return continuation.resume(returning: .failure(error)) }
                    do throws(APIError) {
                        let value = try Interruption.watching({ isCancelled.isSet }, work)
                        // What was interrupted may be half of what it should be.
                        continuation.resume(
                            returning: isCancelled.isSet ? .failure(.clientGone) : .success(value))
                    } catch { continuation.resume(returning: .failure(error)) }
                }
                lane.add(job)
            }
        } onCancel: {
            isCancelled.set()
            lane.removeCancelled()
        }
        return try result.get()
    }

    /// Set once.
    final class Flag: Sendable {
        private let value = Atomic(false)

        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
    }
}

extension APIError {
    /// Nobody reads it.
    static var clientGone: APIError {
        APIError(status: 499, "The client has gone.", type: "server_error", code: "client_gone")
    }
}

/// Some threads and the work that waits for them.
private final class WorkLane: @unchecked Sendable {
    struct Job {
        let key: String
        let bytes: Int
        let isCancelled: WorkPool.Flag
        /// Does the work, or says why it is not done.
        let run: @Sendable (APIError?) -> Void
    }

    private let name: String
    private let threads: Int
    private let mostWaiting: Int
    private let mostBytes: Int
    private let niceness: Int32
    // Everything below is guarded by `condition`.
    private let condition = NSCondition()
    private var waiting: [Job] = []
    /// When each key of the last jobs was served, in jobs.
    private var served: [String: Int] = [:]
    private var jobs = 0
    private var started = 0
    private var idle = 0
    private var working = 0
    /// When memory is to be given back after large work, or as soon after as nothing is to be done.
    private var tidyTimes: [Date] = []
    private var isClosed = false

    /// Templates may nest calls some hundreds deep.
    private static let stackBytes = 16 << 20

    init(_ name: String, threads: Int, waiting: Int, bytes: Int, niceness: Int32) {
        (self.name, self.threads, self.niceness) = (name, threads, niceness)
        (mostWaiting, mostBytes) = (waiting, bytes)
    }

    var waitingCount: Int { condition.withLock { waiting.count } }
    var workingCount: Int { condition.withLock { working } }

    func add(_ job: Job) {
        let isTaken = condition.withLock { () -> Bool in
            let bytes = waiting.reduce(job.bytes) { $0 + $1.bytes }
            guard !isClosed, waiting.count < mostWaiting, bytes <= mostBytes else { return false }
            waiting.append(job)
            condition.signal()
            guard waiting.count > idle, started < threads else { return true }
            started += 1
            let thread = Thread { [self] in work() }
            thread.name = name
            thread.stackSize = Self.stackBytes
            thread.start()
            return true
        }
        guard !isTaken else { return }
        job.run(
            APIError(
                status: 503, "too many requests wait already to be prepared",
                type: "overloaded_error", code: "server_overloaded", retryAfter: 2))
    }

    func removeCancelled() {
        let removed = condition.withLock { () -> [Job] in
            defer { waiting.removeAll { $0.isCancelled.isSet } }
            return waiting.filter { $0.isCancelled.isSet }
        }
        for job in removed { job.run(.clientGone) }
    }

    func close() {
        let left = condition.withLock { () -> [Job] in
            isClosed = true
            condition.broadcast()
            defer { waiting = [] }
            return waiting
        }
        for job in left { job.run(.clientGone) }
    }

    /// What a thread does next.
    private enum Task {
        case job(Job)
        /// Gives memory back.
        case tidy
        case end
    }

    private func take() -> Task {
        condition.withLock {
            idle += 1
            defer { idle -= 1 }
            while waiting.isEmpty, !isClosed {
                guard let time = tidyTimes.first else {
                    condition.wait()
                    continue
                }
                // Another thread may have done it meanwhile.
                if !condition.wait(until: time), tidyTimes.first == time {
                    tidyTimes.removeFirst()
                    return .tidy
                }
            }
            guard !waiting.isEmpty else { return .end }
            let next = waiting.indices.min { one, other in
                served[waiting[one].key] ?? 0 < served[waiting[other].key] ?? 0
            }
            let job = waiting.remove(at: next ?? 0)
            jobs += 1
            // Names come from a file of keys, but those that are gone need not be kept for ever.
            if served.count > 1024 { served = [:] }
            served[job.key] = jobs
            working += 1
            return .job(job)
        }
    }

    private func work() {
        lowerPriority(niceness)
        while true {
            switch take() {
            case .job(let job):
                job.run(job.isCancelled.isSet ? .clientGone : nil)
                condition.withLock {
                    working -= 1
                    // Twice, since the answer to a large request goes on after this pool's part of it.
                    if job.bytes > WorkPool.quickBytes {
                        tidyTimes = [1, 5].map { Date(timeIntervalSinceNow: $0) }
                    }
                }
            case .tidy: cscx_trim_heap()
            case .end: return
            }
        }
    }
}

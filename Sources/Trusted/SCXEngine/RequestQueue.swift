import Foundation

/// A request that waits or runs, with the stream that its events go to.
struct QueuedRequest {
    let number: Int
    let request: GenerationRequest
    let owner: Owner
    let events: EngineLoop.Events.Continuation
    let alone: EngineLoop.Alone?
    let submitted = ContinuousClock.now
}

/// The queue between the tasks that submit requests and the engine's thread, which takes them.
final class RequestQueue: @unchecked Sendable {

    /// The new requests, cancellations and removals that the engine's thread handles before its next step.
    struct Work {
        var admitted: [QueuedRequest] = []
        var cancelled: Set<Int> = []
        /// Owners whose finished sessions are to be removed.
        var forgotten: Set<Owner> = []
        var isClosed = false
    }

    private let limits: EngineLoop.Limits
    // Everything below is guarded by `condition`.
    private let condition = NSCondition()
    private var waiting: [QueuedRequest] = []
    private var running: [Int: Owner] = [:]
    /// Whether the running request asked to run alone.
    private var isTaken = false
    private var cancelled: Set<Int> = []
    private var forgotten: Set<Owner> = []
    private var kept = 0
    private var connections = 0
    private var rebuilds = 0
    private var speculation = SpeculationUse()
    private var nextNumber = 0
    private var isDraining = false
    private var isClosed = false
    private var drained: [CheckedContinuation<Void, Never>] = []

    init(limits: EngineLoop.Limits) { self.limits = limits }

    var mostKept: Int { limits.kept }
    var idle: Duration { limits.idle }
    var sealAfter: Duration? { limits.sealAfter }

    var load: EngineLoop.Load {
        condition.withLock {
            var load = EngineLoop.Load()
            (load.running, load.waiting, load.kept) = (running.count, waiting.count, kept)
            load.reconnects = max(0, connections - 1)
            load.rebuilds = rebuilds
            load.speculation = speculation
            load.isDraining = isDraining
            return load
        }
    }

    // MARK: For tasks

    func submit(
        _ request: GenerationRequest, _ owner: Owner, _ alone: EngineLoop.Alone?
    ) throws(AdmissionError) -> EngineLoop.Events {
        let (events, continuation) = EngineLoop.Events.makeStream()
        condition.lock()
        defer { condition.unlock() }
        guard !isDraining, !isClosed else { throw .draining }
        // The free places of running requests count too, since the engine's thread takes requests only between steps.
        guard waiting.count < limits.waiting + max(0, limits.running - running.count) else {
            throw .queueFull(limit: limits.waiting)
        }
        let own = waiting.count { $0.owner.key == owner.key } + running.values.count { $0.key == owner.key }
        guard own < limits.perKey else { throw .tooManyOfKey(limit: limits.perKey) }
        let number = nextNumber
        nextNumber += 1
        continuation.onTermination = { [weak self] end in
            if case .cancelled = end { self?.cancel(number) }
        }
        waiting.append(
            QueuedRequest(number: number, request: request, owner: owner, events: continuation, alone: alone))
        condition.signal()
        return events
    }

    private func cancel(_ number: Int) {
        // The removed requests are freed after the lock is released: ending a stream calls its reader back.
        let removed = condition.withLock { () -> [QueuedRequest] in
            defer { waiting.removeAll { $0.number == number } }
            if running[number] != nil { cancelled.insert(number) }
            condition.signal()
            return waiting.filter { $0.number == number }
        }
        _ = removed
        finishDraining()
    }

    func drain() async {
        await withCheckedContinuation { continuation in
            condition.withLock {
                isDraining = true
                drained.append(continuation)
            }
            finishDraining()
        }
    }

    func forget(_ owner: Owner) {
        condition.withLock {
            guard !isClosed else { return }
            forgotten.insert(owner)
            condition.signal()
        }
    }

    func close() {
        // The engine's thread will not take these requests any more. They end after the lock is released, since ending
        // a stream calls its reader.
        let removed = condition.withLock { () -> [QueuedRequest] in
            isClosed = true
            condition.signal()
            defer { waiting = [] }
            return waiting
        }
        for request in removed { request.events.finish(throwing: AdmissionError.draining) }
        finishDraining()
    }

    private func finishDraining() {
        let done = condition.withLock { () -> [CheckedContinuation<Void, Never>] in
            guard waiting.isEmpty, running.isEmpty else { return [] }
            defer { drained = [] }
            return drained
        }
        for continuation in done { continuation.resume() }
    }

    // MARK: For the engine's thread

    /// Returns the work for the engine's thread; while there is none and no session runs, waits for some until `date`
    /// at most.
    func takeWork(
        kept: Int, connections: Int, rebuilds: Int, speculation: SpeculationUse, until date: Date
    ) -> Work {
        condition.lock()
        defer { condition.unlock() }
        (self.kept, self.connections) = (kept, connections)
        (self.rebuilds, self.speculation) = (rebuilds, speculation)
        while running.isEmpty, waiting.isEmpty, cancelled.isEmpty, forgotten.isEmpty, !isClosed {
            guard condition.wait(until: date) else { break }
        }
        var work = Work(isClosed: isClosed)
        swap(&work.cancelled, &cancelled)
        swap(&work.forgotten, &forgotten)
        while running.count < limits.running, let index = nextWaiting() {
            // A request that must run alone waits until all others have ended, and later ones wait behind it.
            if isTaken || (waiting[index].alone != nil && !running.isEmpty) { break }
            let next = waiting.remove(at: index)
            isTaken = next.alone != nil
            running[next.number] = next.owner
            work.admitted.append(next)
        }
        return work
    }

    /// The oldest waiting request of the API key with the fewest running ones, so that no key can keep others out by
    /// many requests.
    private func nextWaiting() -> Int? {
        let running = Dictionary(grouping: running.values, by: \.key).mapValues(\.count)
        return waiting.indices.min { a, b in
            let (first, second) = (waiting[a].owner.key, waiting[b].owner.key)
            if first == second { return waiting[a].number < waiting[b].number }
            let (one, other) = (running[first] ?? 0, running[second] ?? 0)
            return one == other ? waiting[a].number < waiting[b].number : one < other
        }
    }

    /// Removes a request that has ended from the running ones.
    func finished(_ number: Int) {
        condition.withLock {
            running[number] = nil
            isTaken = isTaken && !running.isEmpty
            cancelled.remove(number)
        }
        finishDraining()
    }
}

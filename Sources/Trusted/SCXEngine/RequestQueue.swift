import Foundation

/// A request that waits for the engine or is computed by it, with the stream that its answer goes to.
struct QueuedRequest {
    let number: Int
    let request: GenerationRequest
    let owner: Owner
    let events: EngineLoop.Events.Continuation
    let alone: EngineLoop.Alone?
    let submitted = ContinuousClock.now
}

/// The requests that tasks submit and the engine's thread takes up.
final class RequestQueue: @unchecked Sendable {

    /// What the thread is to do before its next step.
    struct Work {
        var admitted: [QueuedRequest] = []
        var cancelled: Set<Int> = []
        /// Whose finished sessions are to be forgotten.
        var forgotten: Set<Owner> = []
        var isClosed = false
    }

    private let limits: EngineLoop.Limits
    // Everything below is guarded by `condition`.
    private let condition = NSCondition()
    private var waiting: [QueuedRequest] = []
    private var running: [Int: Owner] = [:]
    /// Whether what runs wants to be alone.
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
        // Places that are free count, too: the engine's thread takes requests up between steps.
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
        // No thread will take them up. They end after the lock is released, since a stream that ends calls its reader back.
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

    /// Takes what is to be done; sleeps while there is nothing and no session runs, at most until `date`.
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
            // Who wants to be alone waits until the others have ended, and nobody overtakes them.
            if isTaken || (waiting[index].alone != nil && !running.isEmpty) { break }
            let next = waiting.remove(at: index)
            isTaken = next.alone != nil
            running[next.number] = next.owner
            work.admitted.append(next)
        }
        return work
    }

    /// The oldest request of the API key that has the fewest running, so that nobody is kept out by who asks much.
    private func nextWaiting() -> Int? {
        let running = Dictionary(grouping: running.values, by: \.key).mapValues(\.count)
        return waiting.indices.min { a, b in
            let (first, second) = (waiting[a].owner.key, waiting[b].owner.key)
            if first == second { return waiting[a].number < waiting[b].number }
            let (one, other) = (running[first] ?? 0, running[second] ?? 0)
            return one == other ? waiting[a].number < waiting[b].number : one < other
        }
    }

    /// Says that a request has ended.
    func finished(_ number: Int) {
        condition.withLock {
            running[number] = nil
            isTaken = isTaken && !running.isEmpty
            cancelled.remove(number)
        }
        finishDraining()
    }
}

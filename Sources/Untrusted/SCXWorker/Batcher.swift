import Foundation
import SCXLink

/// Brings the requests of several connections together, so that one product serves them all.
///
/// There is no thread of its own: a connection whose request finds nobody computing leads, takes what waits, and
/// computes it; the others sleep until their answers are there or the lead falls to them. A lone session thus loses
/// no hand-over between threads.
///
/// Generation comes in lockstep: after a batch, the sessions that were in it sample and ask again within
/// microseconds of each other. So a leader waits a moment for those that asked lately, at most a tenth of what
/// batches take: the blocks, that is, and not the short product of the head between two passes through them.
final class Batcher: @unchecked Sendable {
    /// Answers requests of one batch, in order; each is the connection's number with its request.
    private let compute: @Sendable ([(connection: UInt64, request: Request)]) -> [Result<Answer, LinkError>]

    /// A request that waits.
    ///
    /// Guarded by `condition`.
    private final class Pending {
        let connection: UInt64
        let request: Request
        var answer: Result<Answer, LinkError>?
        /// Batches that were computed while it waited for shorter ones to pass.
        var passed = 0

        init(_ connection: UInt64, _ request: Request) {
            self.connection = connection
            self.request = request
        }
    }

    /// Batches of short requests that go before a pass through the blocks at most.
    private static let passingLimit = 8

    // Everything below is guarded by `condition`.
    private let condition = NSCondition()
    private var waiting: [Pending] = []
    private var isLed = false
    /// When each connection asked last.
    private var lastAsked: [UInt64: ContinuousClock.Instant] = [:]
    /// What the longest of the latest batches took; older ones fade.
    private var batchTime = Duration.zero
    private var batches = 0
    private var requests = 0

    init(
        compute: @escaping @Sendable ([(connection: UInt64, request: Request)]) -> [Result<Answer, LinkError>]
    ) {
        self.compute = compute
    }

    /// Requests served and products computed so far.
    var counts: (requests: Int, batches: Int) { condition.withLock { (requests, batches) } }

    /// Forgets a connection that has ended.
    func remove(connection: UInt64) {
        condition.withLock { _ = lastAsked.removeValue(forKey: connection) }
    }

    /// Computes the answer to a request, together with those of others where that can be.
    func answer(_ request: Request, connection: UInt64) -> Result<Answer, LinkError> {
        let pending = Pending(connection, request)
        condition.lock()
        defer { condition.unlock() }
        lastAsked[connection] = .now
        waiting.append(pending)
        // A leader that gathers counts the waiting.
        condition.broadcast()
        while pending.answer == nil, isLed { condition.wait() }
        if let answer = pending.answer { return answer }

        isLed = true
        while pending.answer == nil { lead() }
        isLed = false
        // If requests are left, one of their threads takes the lead.
        condition.broadcast()
        return pending.answer ?? .failure(.invalidRequest("not computed"))
    }

    /// Takes a batch, computes it without the lock, and hands out the answers.
    private func lead() {
        gather()
        // A pass through the blocks takes long, everything else does not: whoever waits for a short answer is ready for
        // the next pass soon, and all passes can be one. But clients that always have some on their way must not keep a
        // pass off for ever.
        let short = waiting.filter { $0.request.kind != .middle }
        let isShort = !short.isEmpty && waiting.allSatisfy { $0.passed < Self.passingLimit }
        // A connection's requests that work on slots take turns; products of integers leave nothing behind.
        var connections: Set<UInt64> = []
        let batch = (isShort ? short : waiting).filter {
            $0.request.kind == .linearRing || connections.insert($0.connection).inserted
        }
        waiting.removeAll { pending in batch.contains { $0 === pending } }
        if isShort { for pending in waiting where pending.request.kind == .middle { pending.passed += 1 } }
        condition.unlock()
        let start = ContinuousClock.now
        let answers = compute(batch.map { ($0.connection, $0.request) })
        let seconds = ContinuousClock.now - start
        condition.lock()
        for (pending, answer) in zip(batch, answers) { pending.answer = answer }
        batchTime = max(seconds, batchTime * 9 / 10)
        batches += 1
        requests += batch.count
        condition.broadcast()
    }

    /// Waits for the connections that asked lately and have not asked again.
    private func gather() {
        let now = ContinuousClock.now
        let patience = min(batchTime / 10, .milliseconds(5))
        // Who has not asked for several batches is not expected.
        let lately = now - max(batchTime * 3, .milliseconds(50))
        let expected = lastAsked.values.count { $0 > lately }
        let limit = Date(timeIntervalSinceNow: patience / .seconds(1))
        while Set(waiting.map(\.connection)).count < expected, condition.wait(until: limit) {}
    }
}

import Foundation
import SCXLink

/// Collects the requests of several connections into batches, so that one product serves them all.
///
/// The batcher has no thread of its own. A connection's thread whose request finds nobody computing becomes the
/// leader: it takes all requests that wait and computes them. The other threads sleep until their answers are there
/// or one of them becomes the leader. So a session that is alone never waits for another thread to be woken.
///
/// Sessions that generate stay in step with each other: after a batch, those that were in it sample and ask again
/// within microseconds of each other. So before a leader takes a batch, it waits a moment for the connections that
/// asked lately. It waits at most a tenth of the time of a batch, by which the batches of the blocks are meant, and
/// not the short product of the head between two of them.
final class Batcher: @unchecked Sendable {
    /// Answers the requests of one batch, in their order; each is a connection's number with its request.
    private let compute: @Sendable ([(connection: UInt64, request: Request)]) -> [Result<Answer, LinkError>]

    /// A request that waits.
    ///
    /// Guarded by `condition`.
    private final class Pending {
        let connection: UInt64
        let request: Request
        var answer: Result<Answer, LinkError>?
        /// How many batches of shorter requests were computed while it waited.
        var passed = 0

        init(_ connection: UInt64, _ request: Request) {
            self.connection = connection
            self.request = request
        }
    }

    /// The most batches of short requests that are computed before a pass through the blocks that waits.
    private static let passingLimit = 8

    // Everything below is guarded by `condition`.
    private let condition = NSCondition()
    private var waiting: [Pending] = []
    private var isLed = false
    /// When each connection last sent a request.
    private var lastAsked: [UInt64: ContinuousClock.Instant] = [:]
    /// The longest time of the latest batches; older ones count less and less.
    private var batchTime = Duration.zero
    private var batches = 0
    private var requests = 0

    init(
        compute: @escaping @Sendable ([(connection: UInt64, request: Request)]) -> [Result<Answer, LinkError>]
    ) {
        self.compute = compute
    }

    /// How many requests were served and how many products were computed so far.
    var counts: (requests: Int, batches: Int) { condition.withLock { (requests, batches) } }

    /// Forgets a connection that has ended.
    func remove(connection: UInt64) {
        condition.withLock { _ = lastAsked.removeValue(forKey: connection) }
    }

    /// Computes the answer to a request, together with requests of others if possible.
    func answer(_ request: Request, connection: UInt64) -> Result<Answer, LinkError> {
        let pending = Pending(connection, request)
        condition.lock()
        defer { condition.unlock() }
        lastAsked[connection] = .now
        waiting.append(pending)
        // Wakes the leader, which may be counting the requests that wait.
        condition.broadcast()
        while pending.answer == nil, isLed { condition.wait() }
        if let answer = pending.answer { return answer }

        isLed = true
        while pending.answer == nil { lead() }
        isLed = false
        // If requests are left, the thread of one of them becomes the leader.
        condition.broadcast()
        return pending.answer ?? .failure(.invalidRequest("not computed"))
    }

    /// Takes a batch, computes it without the lock, and hands out the answers.
    private func lead() {
        gather()
        // A pass through the blocks (`middle`) takes long, and all other requests are short. A connection that waits
        // for a short answer will soon ask for its next pass, so serving short requests first lets all passes be
        // computed as one. But clients that always have short requests on their way must not delay a pass for ever.
        let short = waiting.filter { $0.request.kind != .middle }
        let isShort = !short.isEmpty && waiting.allSatisfy { $0.passed < Self.passingLimit }
        // Of a connection's requests that use slots, a batch takes only one. Products of integers keep nothing, so it
        // takes all of them.
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

    /// Waits for the connections that asked lately and have not asked again yet.
    private func gather() {
        let now = ContinuousClock.now
        let patience = min(batchTime / 10, .milliseconds(5))
        // A connection that has not asked for several batches is not waited for.
        let lately = now - max(batchTime * 3, .milliseconds(50))
        let expected = lastAsked.values.count { $0 > lately }
        let limit = Date(timeIntervalSinceNow: patience / .seconds(1))
        while Set(waiting.map(\.connection)).count < expected, condition.wait(until: limit) {}
    }
}

public import SCXLink
import Synchronization

/// A link to a worker in the same process, for tests and for a single machine that is trusted.
public final class InProcessLink: WorkerLink {
    private let worker: Worker
    private let counts = Mutex(Traffic())

    public init(_ worker: Worker) { self.worker = worker }

    public var traffic: Traffic { counts.withLock { $0 } }

    public func exchange(_ request: Request) throws(LinkError) -> Answer {
        let answer = try worker.answer(request)
        counts.withLock { $0.add(request, answer) }
        return answer
    }
}

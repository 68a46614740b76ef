public import SCXInference
public import SCXLink
import Synchronization

/// Serves connections, each with its own protocol and slots, and all with one model.
///
/// A fault of one connection ends that connection with an error that tells the peer why. The others are not affected.
public final class WorkerServer: Sendable {
    /// Limits that a worker sets for its clients.
    public struct Limits: Sendable {
        /// The most connections at once.
        public var connections = 64
        /// The most bytes of a request's tensor.
        public var tensorBytes = 256 << 20
        /// A connection on which no request comes for this long is closed, and its slots are freed.
        public var idle = Duration.seconds(600)
        /// How long a message may take from its first byte on, in addition to one second for each MiB.
        public var patience = Duration.seconds(10)
        /// How many requests of one connection are read and computed at once; each takes a thread.
        public var window = 4

        public init() {}
    }

    private let worker: Worker
    private let hello: Hello
    private let limits: Limits
    private let recorder: Recorder?
    private let batcher: Batcher
    private let connections = Mutex<(next: UInt64, open: Int)>((1, 0))

    /// Makes a server without connections.
    ///
    /// - Parameters:
    ///   - worker: Computes the answers.
    ///   - digest: The model's digest, which clients compare with theirs.
    ///   - weights: How the weights are held, which clients are told.
    ///   - limits: Limits for the clients.
    ///   - recorder: Records every message; nil for no recording.
    public init(
        worker: Worker, digest: String, weights: WeightFormat, limits: Limits = .init(),
        recorder: Recorder? = nil
    ) {
        self.worker = worker
        var hello = Hello(digest: digest, weights: weights.rawValue)
        hello.window = UInt16(clamping: limits.window)
        hello.ring = worker.model.isRing
        hello.shard = worker.model.shard
        hello.largestTensor = limits.tensorBytes
        self.hello = hello
        self.limits = limits
        self.recorder = recorder
        batcher = Batcher { worker.answer(batch: $0) }
    }

    /// Serves one connection until it ends; blocks the calling thread.
    ///
    /// - Returns: Why it ended; nil when the peer closed it between two requests.
    @discardableResult
    public func serve(_ bytes: any ByteStream) -> LinkError? {
        defer { bytes.close() }
        let stream = MessageStream(bytes, patience: limits.patience)
        var link = WorkerProtocol(hello: hello, largestTensor: limits.tensorBytes)
        guard let connection = open() else {
            let error = LinkError.workerFull("it serves \(limits.connections) connections already")
            refuse(stream, &link, error)
            return error
        }
        defer { close(connection) }
        return WorkerConnection(stream, link, idle: limits.idle, window: Int(hello.window)) {
            message, direction in
            self.recorder?.record(message, direction: direction, connection: connection)
        } answer: { request in
            self.answer(request, connection)
        }.serve()
    }

    /// Reads the peer's hello, so that the peer waits for an answer, and answers that there is no place for it.
    private func refuse(_ stream: MessageStream, _ link: inout WorkerProtocol, _ error: LinkError) {
        do throws(LinkError) {
            let message = try stream.receive(before: Deadline(after: .seconds(5))) { head throws(LinkError) in
                try link.begin(head)
            }
            _ = try link.receive(message)
            try stream.send(link.failure(error))
        } catch {
            // The peer has gone already or is no client of this link, so there is nobody to tell.
        }
    }

    private func answer(_ request: Request, _ connection: UInt64) -> Result<Answer, LinkError> {
        guard case .stats = request.operation else { return batcher.answer(request, connection: connection) }
        var statistics = worker.statistics
        statistics.connections = connections.withLock { $0.open }
        (statistics.requests, statistics.batches) = batcher.counts
        return .success(.statistics(statistics))
    }

    /// Takes a place and a number for one more connection; nil when there is no place.
    private func open() -> UInt64? {
        connections.withLock { connections in
            guard connections.open < limits.connections else { return nil }
            defer { connections.next += 1 }
            connections.open += 1
            return connections.next
        }
    }

    private func close(_ connection: UInt64) {
        connections.withLock { $0.open -= 1 }
        batcher.remove(connection: connection)
        worker.release(connection: connection)
    }
}

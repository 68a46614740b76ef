public import SCXInference
public import SCXLink
import Synchronization

/// The untrusted side: answers requests with the model's weights.
///
/// Of a session it keeps what requests left in the session's slot, and nothing else. Each connection has slot numbers
/// of its own.
public final class Worker: Sendable {
    /// Limits on what all connections together may take.
    public struct Limits: Sendable {
        /// The most slots at once.
        public var slots = Int.max
        /// The most bytes of all slots.
        public var slotBytes = Int.max
        /// The most bytes of one answer.
        public var answerBytes = 1 << 30

        public init() {}
    }

    /// The model whose weights are used.
    public let model: Decoder
    private let state: Mutex<WorkerState>

    /// Makes a worker without sessions.
    ///
    /// - Parameters:
    ///   - model: The model whose weights are used.
    ///   - limits: Limits on what all connections together may take.
    public init(model: Decoder, limits: Limits = Limits()) {
        self.model = model
        state = Mutex(WorkerState(model: model, limits: limits))
    }

    /// Answers one request.
    ///
    /// Requests of several threads are computed one after the other, since one product uses all cores.
    ///
    /// - Throws: ``LinkError/invalidRequest(_:)`` when the request does not fit the model or its slots; then nothing
    ///   has changed. ``LinkError/workerFull(_:)`` when a limit is reached; then the slot may have been cut at the
    ///   position where the request begins.
    public func answer(_ request: Request, connection: UInt64 = 0) throws(LinkError) -> Answer {
        let answers = answer(batch: [(connection, request)])
        return try answers[0].get()
    }

    /// Answers requests of several connections; those that use the same weights are computed as one product.
    ///
    /// - Parameter batch: At most one request of each connection, except that there may be several `linearRing`
    ///   requests.
    /// - Returns: For each request its own answer or error, as ``answer(_:connection:)`` gives it.
    public func answer(batch: [(connection: UInt64, request: Request)]) -> [Result<Answer, LinkError>] {
        let connections = batch.filter { $0.request.kind != .linearRing }.map(\.connection)
        precondition(Set(connections).count == connections.count, "Worker: two requests of a connection")
        return state.withLock { $0.answer(batch) }
    }

    /// Forgets all sessions of a connection.
    public func release(connection: UInt64) {
        state.withLock { $0.memory.remove(connection: connection) }
    }

    /// Counts since the worker was made.
    ///
    /// The number of connections is missing, since only the server that holds them knows it.
    public var statistics: WorkerStatistics { state.withLock { $0.currentStatistics } }
}

/// A way to a worker.
///
/// Calls block: the engine runs on a thread of its own, and an exchange may take no longer than a few microseconds
/// beyond the worker's arithmetic, which leaves no time for a hop between executors.
public protocol WorkerLink: Sendable {
    /// Sends a request and waits for its answer.
    func exchange(_ request: Request) throws(LinkError) -> Answer

    /// Gives back the worker's memory of a session.
    func release(_ slot: Slot) throws(LinkError)

    /// What has crossed the link so far.
    var traffic: Traffic { get }
}

/// Counts of what crossed a link.
public struct Traffic: Equatable, Sendable {
    public var exchanges = 0
    /// Bytes of tensors from the trusted side to the worker.
    public var bytesSent = 0
    /// Bytes of tensors from the worker to the trusted side.
    public var bytesReceived = 0

    public init() {}
}

/// Why an exchange failed.
///
/// Carries names and sizes, never values.
public enum LinkError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A request's numbers do not fit the worker's model or its session.
    case invalidRequest(String)
    /// The worker has no memory left for the session.
    case workerOutOfMemory(String)
    /// An answer does not fit its request.
    case unexpectedAnswer(String)

    public var description: String {
        switch self {
        case .invalidRequest(let reason): "the worker refused the request: \(reason)"
        case .workerOutOfMemory(let reason): "the worker is out of memory: \(reason)"
        case .unexpectedAnswer(let reason): "the worker's answer does not fit the request: \(reason)"
        }
    }
}

/// A way to a worker.
///
/// Calls block: the engine runs on a thread of its own, and an exchange may take no longer than a few microseconds
/// beyond the worker's arithmetic, which leaves no time for a hop between executors.
public protocol WorkerLink: Sendable {
    /// Sends a request and waits for its answer.
    func exchange(_ request: Request) throws(LinkError) -> Answer

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
    /// Connections made, the first included; 0 where there is nothing to connect to.
    public var connections = 0

    public init() {}
}

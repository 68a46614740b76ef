/// A way to a worker.
///
/// Calls block: the engine runs on a thread of its own, and an exchange may take no longer than a few microseconds
/// beyond the worker's arithmetic, which leaves no time for a hop between executors.
public protocol WorkerLink: Sendable {
    /// Sends a request and waits for its answer.
    func exchange(_ request: Request) throws(LinkError) -> Answer

    /// Sends a request and does not wait, so that this side can work while the worker does.
    ///
    /// The worker takes up requests that are on their way together in any order: who needs one to be computed after another
    /// waits for the answer to the first.
    ///
    /// - Returns: What ``receive(_:)`` takes, once.
    func send(_ request: Request) throws(LinkError) -> SentRequest

    /// Waits for the answer to a request.
    func receive(_ sent: SentRequest) throws(LinkError) -> Answer

    /// Sees to it that there is a connection, where the link is one that has such; may wait for the worker.
    func connect() throws(LinkError)

    /// What has crossed the link so far.
    var traffic: Traffic { get }

    /// Bytes of the largest tensor that the worker takes, as far as is known now.
    var largestTensor: Int { get }
}

extension WorkerLink {
    public func connect() throws(LinkError) {}
}

/// A request whose answer has not been received.
public struct SentRequest: Sendable {
    /// Lives as long as somebody can still ask for the answer.
    public final class Interest: Sendable {
        fileprivate init() {}
    }

    enum State: Sendable {
        /// On its way, by its number on a connection.
        case waiting(number: UInt64, connection: Int, Interest)
        /// Answered already.
        case answered(Result<Answer, LinkError>)
    }

    let state: State

    /// A request that was answered at once, for links that compute where they are.
    public init(answered result: Result<Answer, LinkError>) { state = .answered(result) }

    /// A request that is on its way.
    ///
    /// - Parameters:
    ///   - number: Its number.
    ///   - connection: Which of the link's connections it went over.
    public init(number: UInt64, connection: Int) {
        state = .waiting(number: number, connection: connection, Interest())
    }

    /// Its number and connection; nil when it was answered at once.
    public var waiting: (number: UInt64, connection: Int)? {
        if case .waiting(let number, let connection, _) = state { (number, connection) } else { nil }
    }

    /// What tells a link that nobody waits any more, once it is gone; nil when it was answered at once.
    public var interest: Interest? {
        if case .waiting(_, _, let interest) = state { interest } else { nil }
    }

    /// The answer of one that was answered at once.
    ///
    /// - Precondition: ``waiting`` is nil.
    public func answer() throws(LinkError) -> Answer {
        guard case .answered(let result) = state else { preconditionFailure("SentRequest: it is on its way") }
        return try result.get()
    }
}

/// For links that have one request on its way at a time, to workers that say nothing of limits.
extension WorkerLink {
    public var largestTensor: Int { Hello.usualLargestTensor }

    public func send(_ request: Request) throws(LinkError) -> SentRequest {
        SentRequest(answered: .success(try exchange(request)))
    }

    public func receive(_ sent: SentRequest) throws(LinkError) -> Answer { try sent.answer() }
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

    /// Counts an exchange.
    public mutating func add(_ request: Request, _ answer: Answer) {
        exchanges += 1
        bytesSent += request.byteCount
        bytesReceived += answer.byteCount
    }

    public static func + (a: Traffic, b: Traffic) -> Traffic {
        var sum = a
        sum.exchanges += b.exchanges
        sum.bytesSent += b.bytesSent
        sum.bytesReceived += b.bytesReceived
        sum.connections += b.connections
        return sum
    }
}

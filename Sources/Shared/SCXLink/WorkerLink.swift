/// A connection to a worker, as the forward passes use it.
///
/// Calls block the calling thread. The engine has a thread of its own, and an exchange should take only a few
/// microseconds more than the worker's arithmetic, which leaves no time for switching between tasks and executors.
public protocol WorkerLink: Sendable {
    /// Sends a request and waits for its answer.
    func exchange(_ request: Request) throws(LinkError) -> Answer

    /// Sends a request and does not wait for its answer, so that this side can work while the worker does.
    ///
    /// The worker computes requests that are on their way together in any order. If one must be computed after
    /// another, wait for the answer to the first.
    ///
    /// - Returns: The value to pass to ``receive(_:)``, once.
    func send(_ request: Request) throws(LinkError) -> SentRequest

    /// Waits for the answer to a request that was sent.
    func receive(_ sent: SentRequest) throws(LinkError) -> Answer

    /// Waits for the answer to a request, and gives up when no part of it has come after a time.
    ///
    /// - Parameters:
    ///   - sent: The request.
    ///   - limit: How long to wait, where the link can measure that; the link's own limit counts too.
    /// - Returns: The answer.
    /// - Throws: ``LinkError/timedOut(_:)`` when it took longer.
    func receive(_ sent: SentRequest, within limit: Duration) throws(LinkError) -> Answer

    /// Makes sure that there is a connection, for links that have one; may wait for the worker.
    func connect() throws(LinkError)

    /// Counts of the requests and bytes that have crossed the link so far.
    var traffic: Traffic { get }

    /// The size in bytes of the largest tensor that the worker accepts, as far as it is known yet.
    var largestTensor: Int { get }
}

extension WorkerLink {
    public func connect() throws(LinkError) {}

    public func receive(_ sent: SentRequest, within limit: Duration) throws(LinkError) -> Answer {
        try receive(sent)
    }
}

/// A request that was sent and whose answer has not been received.
public struct SentRequest: Sendable {
    /// An object that exists as long as somebody can still ask for the answer.
    public final class Interest: Sendable {
        fileprivate init() {}
    }

    enum State: Sendable {
        /// The request is on its way, with this number on this connection.
        case waiting(number: UInt64, connection: Int, Interest)
        /// The answer is there already.
        case answered(Result<Answer, LinkError>)
    }

    let state: State

    /// Makes a request that was already answered, for a link that computes in this process.
    public init(answered result: Result<Answer, LinkError>) { state = .answered(result) }

    /// Makes a request whose answer has not come yet.
    ///
    /// - Parameters:
    ///   - number: The request's number.
    ///   - connection: The number of the connection over which it was sent, among those of the link.
    public init(number: UInt64, connection: Int) {
        state = .waiting(number: number, connection: connection, Interest())
    }

    /// The request's number and connection; nil when it was answered at once.
    public var waiting: (number: UInt64, connection: Int)? {
        if case .waiting(let number, let connection, _) = state { (number, connection) } else { nil }
    }

    /// The object that is freed when nobody waits for the answer any more; nil when the request was answered at once.
    public var interest: Interest? {
        if case .waiting(_, _, let interest) = state { interest } else { nil }
    }

    /// Returns the answer to a request that was answered at once.
    ///
    /// - Precondition: ``waiting`` is nil.
    public func answer() throws(LinkError) -> Answer {
        guard case .answered(let result) = state else { preconditionFailure("SentRequest: it is on its way") }
        return try result.get()
    }
}

/// Defaults for links that have one request on their way at a time, to workers whose hello names no limit.
extension WorkerLink {
    public var largestTensor: Int { Hello.usualLargestTensor }

    public func send(_ request: Request) throws(LinkError) -> SentRequest {
        SentRequest(answered: .success(try exchange(request)))
    }

    public func receive(_ sent: SentRequest) throws(LinkError) -> Answer { try sent.answer() }
}

/// Counts of the requests and bytes that have crossed a link.
public struct Traffic: Equatable, Sendable {
    /// Requests that were answered.
    public var exchanges = 0
    /// Bytes of tensors from the trusted side to the worker.
    public var bytesSent = 0
    /// Bytes of tensors from the worker to the trusted side.
    public var bytesReceived = 0
    /// Connections that were made, including the first; 0 for links that need none.
    public var connections = 0

    public init() {}

    /// Adds one exchange to the counts.
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

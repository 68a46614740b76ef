import SCXInference

/// Why an exchange or a connection failed.
///
/// It contains names and sizes and never values, so that its text may be logged and sent to the peer.
public enum LinkError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A request's numbers do not fit the worker's model or its slot.
    case invalidRequest(String)
    /// The worker has no memory or no place left for the session.
    case workerFull(String)
    /// An answer does not fit its request.
    case unexpectedAnswer(String)
    /// Bytes that are no frame, or a frame that may not come now.
    ///
    /// The connection is closed then.
    case malformedFrame(String)
    /// The peer speaks another version of the link, or serves another model.
    case incompatible(String)
    /// The peer sent or took nothing for too long.
    case timedOut(String)
    /// The connection is gone.
    ///
    /// A new one may work.
    case disconnected(String)
    /// There is no worker, and all attempts to reach one for as long as the link may try have failed.
    case unreachable(String)

    public var description: String {
        switch self {
        case .invalidRequest(let reason): "the worker refused the request: \(reason)"
        case .workerFull(let reason): "the worker is full: \(reason)"
        case .unexpectedAnswer(let reason): "the worker's answer does not fit the request: \(reason)"
        case .malformedFrame(let reason): "the peer sent a malformed frame: \(reason)"
        case .incompatible(let reason): "the peer cannot be used: \(reason)"
        case .timedOut(let reason): "the peer is silent: \(reason)"
        case .disconnected(let reason): "the connection is gone: \(reason)"
        case .unreachable(let reason): "no worker can be reached: \(reason)"
        }
    }

    /// Whether what the worker held of the sessions is lost, so that they must be computed again over another
    /// connection.
    public var losesWorker: Bool {
        switch self {
        case .unexpectedAnswer, .malformedFrame, .timedOut, .disconnected: true
        case .invalidRequest, .workerFull, .incompatible, .unreachable: false
        }
    }

    /// Whether a worker that answers with this error keeps the connection open, because it refused only this one
    /// request.
    var leavesOpen: Bool {
        switch self {
        case .invalidRequest, .workerFull: true
        default: false
        }
    }

    /// The error's number on the wire, in a frame of kind ``MessageKind/failure``.
    public var code: UInt16 {
        switch self {
        case .invalidRequest: 1
        case .workerFull: 2
        case .unexpectedAnswer: 3
        case .malformedFrame: 4
        case .incompatible: 5
        case .timedOut: 6
        case .disconnected: 7
        case .unreachable: 8
        }
    }

    var reason: String {
        switch self {
        case .invalidRequest(let reason), .workerFull(let reason), .unexpectedAnswer(let reason),
            .malformedFrame(let reason), .incompatible(let reason), .timedOut(let reason),
            .disconnected(let reason),
            .unreachable(let reason):
            reason
        }
    }

    /// The error that a peer sent.
    init(code: UInt16, reason: String) {
        // The peer chose this text, so make it one line of moderate length, whatever it sent.
        let line = reason.printable(longest: 200)
        self =
            switch code {
            case 1: .invalidRequest(line)
            case 2: .workerFull(line)
            case 4: .malformedFrame(line)
            case 5: .incompatible(line)
            case 6: .timedOut(line)
            case 7: .disconnected(line)
            default: .unexpectedAnswer(line)
            }
    }
}

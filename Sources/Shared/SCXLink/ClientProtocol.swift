/// The trusted side's half of the link, as a value: requests in, messages out, and back.
///
/// Several requests may be on their way at once, as many as the worker's hello allows; each answer carries its request's
/// number, and they may come in any order. After an error the protocol is closed, but for a request that the worker
/// refused and nothing else, which leaves it open.
public struct ClientProtocol: Sendable {
    private enum State: Equatable {
        case new, greeting, open, closed
    }

    private let own: Hello
    private let widestRow: Int
    private var state = State.new
    private var number: UInt64 = 0
    private var window = 0
    /// Requests without an answer yet, by number.
    private var asked: [UInt64: Request] = [:]

    /// - Parameters:
    ///   - digest: Of the model, which the worker's must equal.
    ///   - widestRow: Elements of the longest row that an answer can have.
    public init(digest: String, widestRow: Int) {
        own = Hello(digest: digest)
        self.widestRow = widestRow
    }

    /// Whether requests may be asked on this connection.
    public var isOpen: Bool { state == .open }

    /// Whether one more request may be asked before an answer has come.
    public var hasRoom: Bool { asked.count < window }

    /// The first message.
    public mutating func hello() -> Message {
        precondition(number == 0, "ClientProtocol: hello is first")
        number = 1
        state = .greeting
        return own.message(isAnswer: false, number: number)
    }

    /// The message that carries a request; its head has the number that the answer will have.
    ///
    /// - Throws: ``LinkError/disconnected(_:)`` when the protocol is closed.
    /// - Precondition: ``hasRoom``
    package mutating func ask(_ request: Request) throws(LinkError) -> Message {
        guard isOpen else { throw .disconnected("it was closed") }
        precondition(hasRoom, "ClientProtocol: \(window) requests are on their way")
        number += 1
        asked[number] = request
        return request.message(number: number)
    }

    /// Decides whether an answer that begins so may come now, before memory is taken for it.
    ///
    /// - Throws: ``LinkError``; the connection is to be closed then.
    public mutating func begin(_ head: FrameHead) throws(LinkError) {
        let before = state
        state = .closed
        guard head.isAnswer, head.kind != .more else {
            throw .malformedFrame("'\(head.kind)' is no answer")
        }
        let limit: Int
        switch before {
        case .open:
            guard let request = asked[head.number] else {
                throw .malformedFrame("an answer to request \(head.number), which waits for none")
            }
            limit = request.answerRows * widestRow
        case .greeting:
            guard head.number == number else {
                throw .malformedFrame("an answer to request \(head.number), \(number) was asked")
            }
            limit = 0
        case .new, .closed: throw .malformedFrame("an answer that nobody asked for")
        }
        guard head.rows * head.channels <= limit else {
            throw .unexpectedAnswer(
                "\(head.rows) x \(head.channels) elements, at most \(limit) were asked")
        }
        state = before
    }

    /// Takes the worker's answer to ``hello()``.
    ///
    /// - Throws: ``LinkError/incompatible(_:)`` when it cannot be used.
    public mutating func receiveHello(_ message: Message) throws(LinkError) -> Hello {
        state = .closed
        if message.head.kind == .failure { throw try LinkError(message) }
        guard message.head.kind == .hello else { throw .malformedFrame("'\(message.head.kind)' for a hello") }
        let hello = try Hello(message)
        guard hello.version == own.version else {
            throw .incompatible("it speaks version \(hello.version) of the link, this program \(own.version)")
        }
        guard hello.digest == own.digest else {
            throw .incompatible(
                "it serves another model (digest \(hello.digest), this one has \(own.digest))")
        }
        guard hello.window > 0 else { throw .incompatible("it takes no requests") }
        window = Int(hello.window)
        state = .open
        return hello
    }

    /// Takes a whole message that ``begin(_:)`` has allowed: the answer to the request of its number.
    ///
    /// - Throws: The worker's own error, after which the protocol may still be open, or one of the connection's.
    public mutating func receive(_ message: Message) throws(LinkError) -> Answer {
        guard let request = asked.removeValue(forKey: message.head.number) else {
            preconditionFailure("ClientProtocol: nothing was asked")
        }
        state = .closed
        if message.head.kind == .failure {
            let error = try LinkError(message)
            if error.leavesOpen { state = .open }
            throw error
        }
        let answer = try Answer(message, to: request)
        state = .open
        return answer
    }
}

extension Request {
    /// Rows of the model's widest that its answer can fill at most.
    var answerRows: Int {
        switch (operation, payload) {
        case (.attention(_, let parts), _): parts.reduce(0) { $0 + $1.queries }
        // A key and a value, then a score for each head and locked key: positions, and redundant ones beside them.
        case (.tailScores(_, let segments), _): segments.reduce(0) { $0 + $1.position + 64 }
        case (.padProducts(_, _, _, _, let rows), _): rows
        case (_, .rows(let tensor)): tensor.rows
        case (_, .ring(let tensor)): tensor.rows
        case (_, .none), (_, .permutation): 0
        }
    }
}

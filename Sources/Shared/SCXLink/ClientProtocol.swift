/// The trusted side's half of the link, as a value: requests in, messages out, and back.
///
/// One request is on its way at a time. After an error the protocol is closed, but for an error that the worker
/// answered with, which leaves it open.
public struct ClientProtocol: Sendable {
    private enum State: Equatable {
        case idle, greeting, asking(Request), closed
    }

    private let own: Hello
    private let widestRow: Int
    private var state = State.idle
    private var number: UInt64 = 0

    /// - Parameters:
    ///   - digest: Of the model, which the worker's must equal.
    ///   - widestRow: Elements of the longest row that an answer can have.
    public init(digest: String, widestRow: Int) {
        own = Hello(digest: digest)
        self.widestRow = widestRow
    }

    /// Whether the next request may be asked.
    public var isOpen: Bool { state == .idle && number > 0 }

    /// The first message.
    public mutating func hello() -> Message {
        precondition(number == 0, "ClientProtocol: hello is first")
        number = 1
        state = .greeting
        return own.message(isAnswer: false, number: number)
    }

    /// The message that carries a request.
    ///
    /// - Throws: ``LinkError/disconnected(_:)`` when the protocol is closed.
    package mutating func ask(_ request: Request) throws(LinkError) -> Message {
        guard isOpen else { throw .disconnected("it was closed") }
        number += 1
        state = .asking(request)
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
        guard head.number == number else {
            throw .malformedFrame("an answer to request \(head.number), \(number) was asked")
        }
        let limit: Int
        switch before {
        case .asking(let request): limit = request.answerRows * widestRow
        case .greeting: limit = 0
        case .idle, .closed: throw .malformedFrame("an answer that nobody asked for")
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
        state = .idle
        return hello
    }

    /// Takes a whole message that ``begin(_:)`` has allowed.
    ///
    /// - Throws: The worker's own error, after which the next request may be asked, or one of the connection's.
    public mutating func receive(_ message: Message) throws(LinkError) -> Answer {
        guard case .asking(let request) = state else {
            preconditionFailure("ClientProtocol: nothing was asked")
        }
        state = .closed
        if message.head.kind == .failure {
            let error = try LinkError(message)
            state = .idle
            throw error
        }
        let answer = try Answer(message, to: request)
        state = .idle
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
        case (_, .rows(let tensor)): tensor.rows
        case (_, .none), (_, .permutation): 0
        }
    }
}

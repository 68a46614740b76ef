public import SCXInference

/// The trusted side's half of the link, as a value that does no I/O: it turns requests into messages, and messages
/// into answers.
///
/// Several requests may be on their way at once, as many as the worker's hello allows. Each answer carries the number
/// of its request, and answers may come in any order. After an error the protocol is closed, with one exception: when
/// the worker refuses a single request, the protocol stays open.
public struct ClientProtocol: Sendable {
    private enum State: Equatable {
        case new, greeting, open, closed
    }

    private let own: Hello
    private var shapes: AnswerShapes
    private var state = State.new
    private var number: UInt64 = 0
    private var window = 0
    /// Requests that have no answer yet, by number, each with the shape that its answer must have.
    private var asked: [UInt64: (request: Request, shape: AnswerShape)] = [:]

    /// Makes the protocol of a new connection, which begins with ``hello()``.
    ///
    /// - Parameters:
    ///   - digest: The model's digest, which must equal the worker's.
    ///   - model: The model's configuration, which with each request tells the shape of its answer.
    public init(digest: String, model: DecoderConfiguration) {
        own = Hello(digest: digest)
        shapes = AnswerShapes(of: model)
    }

    /// Whether hello has been answered and no error has closed the connection, so that requests may be sent.
    public var isOpen: Bool { state == .open }

    /// Whether one more request may be sent before the next answer has come.
    public var hasRoom: Bool { asked.count < window }

    /// The first message that this side sends.
    public mutating func hello() -> Message {
        precondition(number == 0, "ClientProtocol: hello is first")
        number = 1
        state = .greeting
        return own.message(isAnswer: false, number: number)
    }

    /// Makes the message that carries a request; its head has the number that the answer will have.
    ///
    /// - Throws: ``LinkError/disconnected(_:)`` when the protocol is closed.
    /// - Precondition: ``hasRoom``
    package mutating func ask(_ request: Request) throws(LinkError) -> Message {
        guard isOpen else { throw .disconnected("it was closed") }
        precondition(hasRoom, "ClientProtocol: \(window) requests are on their way")
        number += 1
        asked[number] = (request, shapes.expect(request))
        return request.message(number: number)
    }

    /// Checks by its head whether an answer may come now and has exactly the shape that its request determines, before
    /// memory is allocated for the rest of it.
    ///
    /// - Throws: ``LinkError``; the connection must then be closed.
    public mutating func begin(_ head: FrameHead) throws(LinkError) {
        let before = state
        state = .closed
        guard head.isAnswer, head.kind != .more else {
            throw .malformedFrame("'\(head.kind)' is no answer")
        }
        let shape: AnswerShape
        switch before {
        case .open:
            guard let asked = asked[head.number] else {
                throw .malformedFrame("an answer to request \(head.number), which waits for none")
            }
            shape = asked.shape
        case .greeting:
            guard head.number == number else {
                throw .malformedFrame("an answer to request \(head.number), \(number) was asked")
            }
            shape = .hello
        case .new, .closed: throw .malformedFrame("an answer that nobody asked for")
        }
        try (head.kind == .failure ? AnswerShape.failure : shape).check(head)
        state = before
    }

    /// Reads the worker's answer to ``hello()``.
    ///
    /// - Throws: ``LinkError/incompatible(_:)`` when this program cannot work with that worker.
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
        shapes.shard = hello.shard
        state = .open
        return hello
    }

    /// Reads a whole answer that ``begin(_:)`` has allowed, to the request whose number it has.
    ///
    /// - Throws: The error that the worker answered, after which the protocol may still be open, or an error of the
    ///   connection.
    public mutating func receive(_ message: Message) throws(LinkError) -> Answer {
        guard let request = asked.removeValue(forKey: message.head.number)?.request else {
            preconditionFailure("ClientProtocol: nothing was asked")
        }
        state = .closed
        if message.head.kind == .failure {
            let error = try LinkError(message)
            shapes.refused(request)
            if error.leavesOpen { state = .open }
            throw error
        }
        let answer = try Answer(message, to: request)
        state = .open
        return answer
    }
}

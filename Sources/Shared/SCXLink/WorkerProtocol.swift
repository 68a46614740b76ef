/// The worker's half of the link, as a value: messages in, actions out, no I/O.
///
///     waiting --hello--> open --request*--> open          any error: closed
///
/// Requests are numbered from 1, one more each, so that a frame that was repeated, lost or put in another place ends
/// the connection.
public struct WorkerProtocol: Sendable {
    public enum Action: Equatable, Sendable {
        /// Send this.
        case send(Message)
        /// Compute the answer, then send ``WorkerProtocol/answer(_:)``.
        case serve(Request)
    }

    private enum State: Equatable {
        case waiting, open, computing, closed
    }

    private let own: Hello
    private let largestTensor: Int
    private var state = State.waiting
    private var number: UInt64 = 0
    private var kind = MessageKind.hello
    /// Why ``begin(_:)`` closed the connection.
    private var refusal: LinkError?

    /// - Parameters:
    ///   - hello: What this worker says of itself.
    ///   - largestTensor: Bytes of a request's tensor at most.
    public init(hello: Hello, largestTensor: Int) {
        own = hello
        self.largestTensor = largestTensor
    }

    /// Decides whether a message that begins so may come now, before memory is taken for it.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)``; the connection is closed then.
    public mutating func begin(_ head: FrameHead) throws(LinkError) {
        let expected = number + 1
        let isHello = head.kind == .hello
        do throws(LinkError) {
            guard !head.isAnswer, head.kind != .more, head.kind != .failure else {
                throw .malformedFrame("'\(head.kind)' is no request")
            }
            guard state == (isHello ? .waiting : .open) else {
                throw .malformedFrame("'\(head.kind)' may not come now")
            }
            guard head.number == expected else {
                throw .malformedFrame("request \(head.number) where \(expected) is next")
            }
            // Who has not said hello gets no memory.
            let largestTensor = isHello ? 0 : largestTensor
            guard head.tensorBytes <= largestTensor else {
                throw .malformedFrame("a tensor of \(head.tensorBytes) bytes, the limit is \(largestTensor)")
            }
        } catch {
            state = .closed
            number = expected  // So that the client takes the failure for the answer that it waits for.
            refusal = error
            throw error
        }
    }

    /// Takes a whole message that ``begin(_:)`` has allowed.
    ///
    /// - Throws: ``LinkError``; the connection is closed then.
    public mutating func receive(_ message: Message) throws(LinkError) -> Action {
        precondition(state == .waiting || state == .open, "WorkerProtocol: closed or computing")
        let before = state
        state = .closed
        number += 1
        kind = message.head.kind
        guard before == .waiting else {
            let request = try Request(message, largestTensor: largestTensor)
            state = .computing
            return .serve(request)
        }
        let hello = try Hello(message)
        guard hello.version == own.version else {
            throw .incompatible("it speaks version \(hello.version) of the link, this worker \(own.version)")
        }
        guard hello.digest == own.digest else {
            throw .incompatible("the worker serves another model (digest \(own.digest))")
        }
        state = .open
        return .send(own.message(isAnswer: true, number: number))
    }

    /// The message that answers the request being computed, or says why the next one, which came too early, has ended
    /// the connection.
    public mutating func answer(_ result: Result<Answer, LinkError>) -> Message {
        if let refusal { return failure(refusal) }
        precondition(state == .computing, "WorkerProtocol: nothing to answer")
        state = .open
        switch result {
        case .success(let answer): return answer.message(to: kind, number: number)
        case .failure(let error): return failure(error)
        }
    }

    /// The message that tells the peer why its request failed, or why the connection ends.
    public func failure(_ error: LinkError) -> Message {
        var fields = FieldWriter()
        fields.add(error.code)
        fields.add(error.reason)
        return Message(
            head: FrameHead(kind: .failure, isAnswer: true, number: number), fields: fields.bytes)
    }
}

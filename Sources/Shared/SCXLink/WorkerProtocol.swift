/// The worker's half of the link, as a value: messages in, actions out, no I/O.
///
///     waiting --hello--> open --request*--> open          any error: closed
///
/// Requests are numbered from 1, one more each, so that a frame that was repeated, lost or put in another place ends
/// the connection. As many as the worker's hello says may be on their way at once; they are answered in any order.
public struct WorkerProtocol: Sendable {
    public enum Action: Equatable, Sendable {
        /// Send this.
        case send(Message)
        /// Compute the answer, then send ``WorkerProtocol/answer(_:to:)``.
        case serve(Request, number: UInt64)
    }

    private enum State: Equatable {
        case waiting, open, closed
    }

    private let own: Hello
    private let largestTensor: Int
    private var state = State.waiting
    /// Of the latest request.
    private var number: UInt64 = 0
    /// The kinds of the requests that are being computed, by number.
    private var computing: [UInt64: MessageKind] = [:]

    /// - Parameters:
    ///   - hello: What this worker says of itself.
    ///   - largestTensor: Bytes of a request's tensor at most.
    /// - Precondition: The hello's window is positive.
    public init(hello: Hello, largestTensor: Int) {
        precondition(hello.window > 0, "WorkerProtocol: no window")
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
            guard computing.count < own.window else {
                throw .malformedFrame("request \(head.number) while \(own.window) are being computed")
            }
            // Who has not said hello gets no memory.
            let largestTensor = isHello ? 0 : largestTensor
            guard head.tensorBytes <= largestTensor else {
                throw .malformedFrame("a tensor of \(head.tensorBytes) bytes, the limit is \(largestTensor)")
            }
        } catch {
            // So that the client takes the failure for the answer that it waits for.
            if state != .closed { number = expected }
            state = .closed
            throw error
        }
    }

    /// Takes a whole message that ``begin(_:)`` has allowed.
    ///
    /// - Throws: ``LinkError``; the connection is closed then.
    public mutating func receive(_ message: Message) throws(LinkError) -> Action {
        precondition(state != .closed, "WorkerProtocol: closed")
        let before = state
        state = .closed
        number += 1
        guard before == .waiting else {
            let request = try Request(message, largestTensor: largestTensor)
            state = .open
            computing[number] = message.head.kind
            return .serve(request, number: number)
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

    /// The message that answers a request.
    ///
    /// - Precondition: The request is being computed.
    public mutating func answer(_ result: Result<Answer, LinkError>, to number: UInt64) -> Message {
        guard let kind = computing.removeValue(forKey: number) else {
            preconditionFailure("WorkerProtocol: nothing to answer")
        }
        switch result {
        case .success(let answer): return answer.message(to: kind, number: number)
        case .failure(let error): return Self.failure(error, number)
        }
    }

    /// The message that tells the peer why the connection ends.
    public func failure(_ error: LinkError) -> Message { Self.failure(error, number) }

    private static func failure(_ error: LinkError, _ number: UInt64) -> Message {
        var fields = FieldWriter()
        fields.add(error.code)
        fields.add(error.reason)
        return Message(
            head: FrameHead(kind: .failure, isAnswer: true, number: number), fields: fields.bytes)
    }
}

/// The worker's half of the link, as a value that does no I/O: messages in, actions out.
///
///     waiting --hello--> open --request*--> open          any error: closed
///
/// Requests are numbered from 1, each one more than the last, so that a frame that was repeated, lost or moved ends
/// the connection. As many requests as the worker's hello says may be on their way at once; they are answered in any
/// order.
public struct WorkerProtocol: Sendable {
    /// What the worker is to do after a message.
    public enum Action: Equatable, Sendable {
        /// Send this message.
        case send(Message)
        /// Compute the answer to this request, then send the message that ``WorkerProtocol/answer(_:to:)`` makes of
        /// it.
        case serve(Request, number: UInt64)
    }

    private enum State: Equatable {
        case waiting, open, closed
    }

    private let own: Hello
    private let largestTensor: Int
    private var state = State.waiting
    /// The number of the latest request.
    private var number: UInt64 = 0
    /// The kinds of the requests that are being computed, by the requests' numbers.
    private var computing: [UInt64: MessageKind] = [:]

    /// Makes the protocol of a new connection.
    ///
    /// - Parameters:
    ///   - hello: The hello of this worker.
    ///   - largestTensor: The most bytes of a request's tensor.
    /// - Precondition: The hello's window is positive.
    public init(hello: Hello, largestTensor: Int) {
        precondition(hello.window > 0, "WorkerProtocol: no window")
        own = hello
        self.largestTensor = largestTensor
    }

    /// Checks by its head whether a message may come now, before memory is allocated for the rest of it.
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
            // No memory is allocated for a client that has not said hello.
            let largestTensor = isHello ? 0 : largestTensor
            guard head.tensorBytes <= largestTensor else {
                throw .malformedFrame("a tensor of \(head.tensorBytes) bytes, the limit is \(largestTensor)")
            }
        } catch {
            // The failure gets the number that was expected, so that the client takes it for the answer for which it
            // waits.
            if state != .closed { number = expected }
            state = .closed
            throw error
        }
    }

    /// Processes a whole message that ``begin(_:)`` has allowed.
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

    /// Makes the message that answers a request.
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

    /// Makes the message that tells the peer why the connection ends.
    public func failure(_ error: LinkError) -> Message { Self.failure(error, number) }

    private static func failure(_ error: LinkError, _ number: UInt64) -> Message {
        var fields = FieldWriter()
        fields.add(error.code)
        fields.add(error.reason)
        return Message(
            head: FrameHead(kind: .failure, isAnswer: true, number: number), fields: fields.bytes)
    }
}

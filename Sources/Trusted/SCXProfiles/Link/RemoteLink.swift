package import SCXInference
package import SCXLink
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A link to a worker in another process, over a byte stream that may break.
///
/// When a connection breaks, it is given up at once and all requests that are on their way fail. The next request
/// connects again and may wait for the worker. What the worker held of any session is then lost, and the engine has
/// to compute the sessions again.
///
/// It may be used from any thread. While one thread connects, the others learn at once that their answers are lost,
/// and can read the counts of what has crossed.
package final class RemoteLink: WorkerLink {
    /// Makes a connection, or throws why there is none now.
    package typealias Connect = @Sendable (_ deadline: Deadline) throws(LinkError) -> any ByteStream

    /// Checks a worker's hello, and throws to refuse the worker.
    package typealias Acceptance = @Sendable (_ hello: Hello) throws(LinkError) -> Void

    /// How long to wait for the worker.
    package struct Patience: Sendable {
        /// How long to try to connect, over all attempts.
        package var connect = Duration.seconds(30)
        /// How long the answer to one request may take to begin.
        package var answer = Duration.seconds(300)
        /// The longest pause between two attempts to connect.
        package var pause = Duration.seconds(1)

        package init() {}

        /// For a process on this machine, which takes its time to load a model and is there at once after that.
        package static var ownProcess: Patience {
            var patience = Patience()
            patience.connect = .seconds(600)
            patience.pause = .milliseconds(50)
            return patience
        }

        /// For a peer that multiplies pads: another source can be asked sooner than it can be waited for.
        package static var peer: Patience {
            var patience = Patience()
            patience.connect = .seconds(3)
            return patience
        }
    }

    private struct Connection {
        let number: Int
        var stream: MessageStream
        var link: ClientProtocol
        let hello: Hello
        /// The requests on their way, which are needed to count what crosses.
        var sent: [UInt64: Asked] = [:]
        /// Answers that were read before somebody waited for them.
        var answers: [UInt64: Early] = [:]
    }

    private struct Asked {
        let request: Request
        weak var interest: SentRequest.Interest?
    }

    private struct Early {
        let result: Result<Answer, LinkError>
        weak var interest: SentRequest.Interest?
    }

    private struct State {
        var connection: Connection?
        /// The number of the next connection.
        var number = 0
        /// The limit that the last connection's worker named.
        var largestTensor = Hello.usualLargestTensor
    }

    private let makeConnection: Connect
    private let accept: Acceptance
    private let digest: String
    private let model: DecoderConfiguration
    private let patience: Patience
    private let state = Mutex(State())
    /// Held while a connection is made.
    private let connecting = Mutex(())
    private let counted = Mutex(Traffic())
    /// The stream of the newest connection, so that another thread can close it.
    private let current = Mutex<(any ByteStream)?>(nil)

    /// Makes a link that is not connected yet.
    ///
    /// - Parameters:
    ///   - digest: The model's digest, which must equal the worker's.
    ///   - model: The model's configuration, which tells the shapes of answers.
    ///   - patience: How long to wait.
    ///   - connect: Makes a connection.
    ///   - accept: Called at each connection; throws ``LinkError/incompatible(_:)``.
    package init(
        digest: String, model: DecoderConfiguration, patience: Patience = .init(),
        connect: @escaping Connect, accept: @escaping Acceptance = { _ in }
    ) {
        makeConnection = connect
        self.accept = accept
        self.digest = digest
        self.model = model
        self.patience = patience
    }

    package var traffic: Traffic { counted.withLock { $0 } }

    /// Who is at the other end of the newest connection; nil before the first.
    package var remoteEnd: RemoteEnd? { current.withLock { $0 }?.remoteEnd }

    package var largestTensor: Int { state.withLock { $0.largestTensor } }

    /// Connects now, so that a worker that cannot be used is noticed before anything is asked.
    ///
    /// - Parameter duration: How long to try; nil for as long as ``Patience`` allows.
    /// - Throws: ``LinkError`` that says why there is no worker.
    package func open(within duration: Duration? = nil) throws(LinkError) {
        try connecting.withLock { _ throws(LinkError) in
            let next = state.withLock { $0.connection == nil ? $0.number : nil }
            guard let next else { return }
            let connection = try reconnect(within: duration ?? patience.connect, number: next)
            state.withLock { state in
                state.connection = connection
                state.number += 1
                let largest = connection.hello.largestTensor
                state.largestTensor = largest > 0 ? largest : Hello.usualLargestTensor
            }
            counted.withLock { $0.connections += 1 }
        }
    }

    package func connect() throws(LinkError) { try open() }

    /// What the worker said of itself in its hello; connects if there is no connection.
    package func hello() throws(LinkError) -> Hello {
        try withConnection { connection in connection.hello }
    }

    package func exchange(_ request: Request) throws(LinkError) -> Answer { try receive(send(request)) }

    package func send(_ request: Request) throws(LinkError) -> SentRequest {
        try open()
        guard request.byteCount <= largestTensor else {
            throw .invalidRequest(
                "a tensor of \(request.byteCount >> 20) MiB, the worker takes \(largestTensor >> 20) "
                    + "(scx-worker --max-tensor)")
        }
        return try withConnection { connection throws(LinkError) in
            while !connection.link.hasRoom { try receiveNext(&connection, within: patience.answer) }
            let message = try connection.link.ask(request)
            let sent = SentRequest(number: message.head.number, connection: connection.number)
            connection.sent[message.head.number] = Asked(request: request, interest: sent.interest)
            try connection.stream.send(message)
            return sent
        }
    }

    /// Calls `body` with the connection, which is made first if there is none; after an error the connection is given
    /// up.
    private func withConnection<Result: Sendable>(
        _ body: (inout Connection) throws(LinkError) -> Result
    ) throws(LinkError) -> Result {
        while true {
            try open()
            let result = try state.withLock { state throws(LinkError) -> Result? in
                // Another thread may have lost the connection meanwhile.
                guard var connection = state.connection else { return nil }
                state.connection = nil
                do throws(LinkError) {
                    let result = try body(&connection)
                    state.connection = connection
                    return result
                } catch {
                    connection.stream.bytes.close()
                    throw error
                }
            }
            if let result { return result }
        }
    }

    package func receive(_ sent: SentRequest) throws(LinkError) -> Answer {
        try receive(sent, within: patience.answer)
    }

    package func receive(_ sent: SentRequest, within limit: Duration) throws(LinkError) -> Answer {
        guard let waiting = sent.waiting else { return try sent.answer() }
        // `sent` must exist until here, since an answer for which nobody waits is dropped.
        defer { withExtendedLifetime(sent) {} }
        return try state.withLock { state throws(LinkError) in
            guard var connection = state.connection, connection.number == waiting.connection else {
                throw .disconnected("its answer was lost with its connection")
            }
            precondition(
                connection.sent[waiting.number] != nil || connection.answers[waiting.number] != nil,
                "RemoteLink: the answer was received before")
            state.connection = nil
            do throws(LinkError) {
                while connection.answers[waiting.number] == nil {
                    try receiveNext(&connection, within: limit)
                }
            } catch {
                connection.stream.bytes.close()
                throw error
            }
            let answer = connection.answers.removeValue(forKey: waiting.number)
            state.connection = connection
            guard let answer else { throw .unexpectedAnswer("none") }
            return try answer.result.get()
        }
    }

    /// Reads one answer, to whichever request it is; a refusal by the worker is an answer, too.
    ///
    /// - Throws: The error that ends the connection.
    private func receiveNext(_ connection: inout Connection, within limit: Duration) throws(LinkError) {
        var link = connection.link
        let reply = try connection.stream.receive(before: Deadline(after: min(limit, patience.answer))) {
            head throws(LinkError) in try link.begin(head)
        }
        let number = reply.head.number
        let asked = connection.sent.removeValue(forKey: number)
        let result: Result<Answer, LinkError>
        do throws(LinkError) {
            let answer = try link.receive(reply)
            if let asked { counted.withLock { $0.add(asked.request, answer) } }
            result = .success(answer)
        } catch {
            // The worker may have refused only this request.
            guard link.isOpen else { throw error }
            result = .failure(error)
        }
        connection.link = link
        // Drop answers for which nobody will ask, as when another part of the same batch has failed.
        connection.answers = connection.answers.filter { $0.value.interest != nil }
        if let interest = asked?.interest {
            connection.answers[number] = Early(result: result, interest: interest)
        }
    }

    /// Ends the connection; an exchange that another thread has on it then fails.
    package func close() { current.withLock { $0?.close() } }

    /// Tries to connect for this long, with pauses that double from 20 ms on.
    private func reconnect(within duration: Duration, number: Int) throws(LinkError) -> Connection {
        let deadline = Deadline(after: duration)
        var pause = Duration.milliseconds(20)
        while true {
            do throws(LinkError) { return try greet(makeConnection(deadline), deadline, number) } catch {
                // Another model or version will not change, but a worker that is missing or full may be there later.
                switch error {
                case .incompatible, .unreachable: throw error
                default: break
                }
                guard let remaining = deadline.remaining, remaining > pause else {
                    throw .unreachable("\(error)")
                }
            }
            sleep(pause)
            pause = min(pause * 2, patience.pause)
        }
    }

    private func greet(
        _ bytes: any ByteStream, _ deadline: Deadline, _ number: Int
    ) throws(LinkError) -> Connection {
        let stream = MessageStream(bytes)
        var link = ClientProtocol(digest: digest, model: model)
        let hello: Hello
        do throws(LinkError) {
            try stream.send(link.hello())
            let reply = try stream.receive(before: min(deadline, Deadline(after: .seconds(10)))) {
                head throws(LinkError) in try link.begin(head)
            }
            hello = try link.receiveHello(reply)
            try accept(hello)
        } catch {
            bytes.close()
            throw error
        }
        current.withLock { $0 = bytes }
        return Connection(number: number, stream: stream, link: link, hello: hello)
    }
}

/// Sleeps on this thread, which is the engine's own and blocks for whole exchanges anyway.
func sleep(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    unsafe _ = nanosleep(&time, nil)
}

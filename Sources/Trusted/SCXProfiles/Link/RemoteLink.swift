package import SCXLink
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A worker in another process, reached over a byte stream that may break.
///
/// A broken connection is given up at once and the exchange fails; the next exchange connects anew, with patience.
/// What the worker held of any session is lost then, and it is for the engine to build it again.
package final class RemoteLink: WorkerLink {
    /// Makes a connection, or says why there is none now.
    package typealias Connect = @Sendable (_ deadline: Deadline) throws(LinkError) -> any ByteStream

    /// How long to wait.
    package struct Patience: Sendable {
        /// For a worker to be there, over all attempts.
        package var connect = Duration.seconds(30)
        /// For the answer to one request to begin.
        package var answer = Duration.seconds(300)
        /// Between two attempts to connect, at most.
        package var pause = Duration.seconds(1)

        package init() {}

        /// For a process on this machine, which needs its time to load a model and is there at once then.
        package static var ownProcess: Patience {
            var patience = Patience()
            patience.connect = .seconds(600)
            patience.pause = .milliseconds(50)
            return patience
        }
    }

    private struct Connection {
        var stream: MessageStream
        var link: ClientProtocol
    }

    private struct State {
        var connection: Connection?
        var traffic = Traffic()
    }

    private let connect: Connect
    private let digest: String
    private let widestRow: Int
    private let patience: Patience
    private let state = Mutex(State())
    /// The stream of the exchange on its way, to be closed from another thread.
    private let current = Mutex<(any ByteStream)?>(nil)

    /// - Parameters:
    ///   - digest: Of the model, which the worker's must equal.
    ///   - widestRow: Elements of the longest row that an answer can have.
    ///   - patience: How long to wait.
    ///   - connect: Makes a connection.
    package init(
        digest: String, widestRow: Int, patience: Patience = .init(), connect: @escaping Connect
    ) {
        self.connect = connect
        self.digest = digest
        self.widestRow = widestRow
        self.patience = patience
    }

    package var traffic: Traffic { state.withLock { $0.traffic } }

    /// Connects now, so that a worker that cannot be used is known before anything is asked.
    ///
    /// - Parameter duration: How long to try; nil for as long as patience allows.
    /// - Throws: ``LinkError`` that says why there is no worker.
    package func open(within duration: Duration? = nil) throws(LinkError) {
        try state.withLock { state throws(LinkError) in
            guard state.connection == nil else { return }
            state.connection = try reconnect(within: duration ?? patience.connect)
            state.traffic.connections += 1
        }
    }

    package func exchange(_ request: Request) throws(LinkError) -> Answer {
        try state.withLock { state throws(LinkError) in
            var connection: Connection
            if let open = state.connection {
                connection = open
            } else {
                connection = try reconnect(within: patience.connect)
                state.traffic.connections += 1
            }
            // Until the exchange has succeeded the connection counts as lost.
            state.connection = nil
            do throws(LinkError) {
                let message = try connection.link.ask(request)
                try connection.stream.send(message)
                let reply = try connection.stream.receive(before: Deadline(after: patience.answer)) {
                    head throws(LinkError) in try connection.link.begin(head)
                }
                let answer = try connection.link.receive(reply)
                state.connection = connection
                state.traffic.exchanges += 1
                state.traffic.bytesSent += request.byteCount
                state.traffic.bytesReceived += answer.byteCount
                return answer
            } catch {
                if connection.link.isOpen {
                    // The worker refused this request alone.
                    state.connection = connection
                } else {
                    connection.stream.bytes.close()
                }
                throw error
            }
        }
    }

    /// Ends the connection, also under an exchange on another thread, which then fails.
    package func close() { current.withLock { $0?.close() } }

    /// Tries to connect for so long, with pauses that double from 20 ms on.
    private func reconnect(within duration: Duration) throws(LinkError) -> Connection {
        let deadline = Deadline(after: duration)
        var pause = Duration.milliseconds(20)
        while true {
            do throws(LinkError) { return try greet(connect(deadline), deadline) } catch {
                // Another model or version stays what it is; a missing or full worker may come.
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

    private func greet(_ bytes: any ByteStream, _ deadline: Deadline) throws(LinkError) -> Connection {
        var connection = Connection(
            stream: MessageStream(bytes), link: ClientProtocol(digest: digest, widestRow: widestRow))
        do throws(LinkError) {
            try connection.stream.send(connection.link.hello())
            let reply = try connection.stream.receive(before: min(deadline, Deadline(after: .seconds(10)))) {
                head throws(LinkError) in try connection.link.begin(head)
            }
            _ = try connection.link.receiveHello(reply)
        } catch {
            bytes.close()
            throw error
        }
        current.withLock { $0 = bytes }
        return connection
    }
}

/// Sleeps on this thread: the engine's thread is its own, and blocks for whole exchanges anyway.
private func sleep(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    unsafe _ = nanosleep(&time, nil)
}

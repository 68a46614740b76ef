import Foundation
import SCXLink
import Synchronization

/// One connection that is being served: its protocol, and the threads that read, compute and answer.
///
/// The thread that has read a request also computes its answer and sends it. So a client that has one request at a
/// time on its way never waits for another thread to be woken. Meanwhile another thread reads; it is started when all
/// others are computing, so there is at most one thread more than requests may be on their way. Because somebody
/// always reads, a client can send while an answer waits for it, the end of the connection is noticed at once, and a
/// client that sends more requests than it may is refused.
final class WorkerConnection: @unchecked Sendable {
    private let stream: MessageStream
    private let idle: Duration
    private let window: Int
    private let record: (Message, TranscriptEntry.Direction) -> Void
    private let compute: (Request) -> Result<Answer, LinkError>

    /// Held while a message is read, and while one is sent.
    private let reading = NSLock()
    private let sending = NSLock()
    private let threads = DispatchGroup()

    private struct State {
        var link: WorkerProtocol
        /// How many threads read or wait to read.
        var readers = 1
        var threads = 1
        /// How many messages were read whole; their numbers are 1 and so on.
        var received: UInt64 = 0
        /// Why the connection has ended; set once.
        var end: LinkError??
    }

    private let state: Mutex<State>

    init(
        _ stream: MessageStream, _ link: WorkerProtocol, idle: Duration, window: Int,
        record: @escaping (Message, TranscriptEntry.Direction) -> Void,
        answer: @escaping (Request) -> Result<Answer, LinkError>
    ) {
        self.stream = stream
        self.idle = idle
        self.window = window
        self.record = record
        compute = answer
        state = Mutex(State(link: link))
    }

    /// Serves until the connection ends; blocks the calling thread.
    ///
    /// - Returns: Why it ended; nil when the peer closed it between two requests.
    func serve() -> LinkError? {
        work()
        threads.wait()
        return state.withLock { $0.end ?? nil }
    }

    /// Reads, computes and answers until the connection ends.
    private func work() {
        while let action = next() {
            do throws(LinkError) {
                switch action {
                case .send(let hello): try send(hello)
                case .serve(let request, let number):
                    finishReading()
                    let result = compute(request)
                    try send(state.withLock { $0.link.answer(result, to: number) })
                    state.withLock { $0.readers += 1 }
                }
            } catch {
                end(error)
            }
        }
    }

    /// Reads the next message, and returns what it asks for; nil when the connection has ended.
    ///
    /// After that this thread still holds the reading lock, until ``finishReading()``. The protocol must process the
    /// whole message, and a fault must end the connection, before another thread reads: otherwise that thread would
    /// process the next message out of order, or take the middle of a malformed message for a head.
    private func next() -> WorkerProtocol.Action? {
        reading.lock()
        defer { reading.unlock() }
        guard state.withLock({ $0.end == nil }) else { return nil }
        do throws(LinkError) {
            let message = try stream.receive(before: Deadline(after: idle), orElse: patience) {
                head throws(LinkError) in
                try state.withLock { state throws(LinkError) in try state.link.begin(head) }
            }
            record(message, .received)
            return try state.withLock { state throws(LinkError) in
                let action = try state.link.receive(message)
                state.received += 1
                return action
            }
        } catch {
            end(error)
            return nil
        }
    }

    /// A new deadline for a client that is silent because it waits for an answer itself; nil when it has all its
    /// answers.
    private func patience() -> Deadline? {
        state.withLock { $0.threads > $0.readers } ? Deadline(after: idle) : nil
    }

    /// Lets another thread read; one is started when all others compute.
    private func finishReading() {
        let isNeeded = state.withLock { state in
            state.readers -= 1
            guard state.readers == 0, state.threads <= window else { return false }
            state.readers += 1
            state.threads += 1
            return true
        }
        guard isNeeded else { return }
        threads.enter()
        let thread = Thread { [self] in
            work()
            threads.leave()
        }
        thread.name = "scx worker connection"
        thread.stackSize = 1 << 20
        thread.start()
    }

    private func send(_ message: Message) throws(LinkError) {
        sending.lock()
        defer { sending.unlock() }
        record(message, .sent)
        try stream.send(message)
    }

    /// Ends the connection once, and tells the peer why, if it may still be there.
    private func end(_ error: LinkError) {
        let isFirst = state.withLock { state in
            guard state.end == nil else { return false }
            if case .disconnected = error { state.end = .some(nil) } else { state.end = .some(error) }
            return true
        }
        guard isFirst else { return }
        if case .disconnected = error {
        } else {
            let failure = state.withLock { state in
                var failure = state.link.failure(error)
                // The message at fault may have had no head that could be read, or not have been read to its end: so its
                // number is counted here, and the client takes the failure for the answer for which it waits.
                failure.head.number = state.received + 1
                return failure
            }
            sending.lock()
            try? stream.send(failure)
            sending.unlock()
        }
        stream.bytes.close()
    }
}

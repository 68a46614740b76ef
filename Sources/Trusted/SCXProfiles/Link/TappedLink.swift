package import SCXLink
import Synchronization

/// An exchange as the worker had it.
///
/// What it holds is as secret as the text where the profile hides nothing.
package struct CapturedExchange: Sendable {
    package let request: Request
    package let answer: Answer
    /// When it began, since the tap was made.
    package let start: Duration
    package let duration: Duration
}

/// Keeps what crosses a link while it is open there, up to a limit.
package final class LinkTap: Sendable {
    private struct State {
        var exchanges: [CapturedExchange] = []
        var bytes = 0
        var isComplete = true
    }

    private let begin = ContinuousClock.now
    private let limit: Int
    private let state = Mutex(State())

    /// - Parameter limit: Bytes of tensors at most; recording ends before the exchange that would go beyond.
    package init(limit: Int = 64 << 20) { self.limit = limit }

    package var exchanges: [CapturedExchange] { state.withLock { $0.exchanges } }

    /// False when the limit was met: later exchanges are missing.
    package var isComplete: Bool { state.withLock { $0.isComplete } }

    fileprivate func take(_ request: Request, _ answer: Answer, since start: ContinuousClock.Instant) {
        let end = ContinuousClock.now
        state.withLock { state in
            let bytes = request.byteCount + answer.byteCount
            guard state.isComplete, bytes <= limit - state.bytes else {
                state.isComplete = false
                return
            }
            state.bytes += bytes
            state.exchanges.append(
                CapturedExchange(
                    request: request, answer: answer, start: start - begin, duration: end - start))
        }
    }
}

/// A link that lets a tap see what crosses it.
///
/// The tap sees every session's rows: whoever wants those of one request opens it while no other is computed.
package final class TappedLink: WorkerLink {
    private let inner: any WorkerLink
    private let tap = Mutex<LinkTap?>(nil)

    package init(_ inner: any WorkerLink) { self.inner = inner }

    package var traffic: Traffic { inner.traffic }

    package var largestTensor: Int { inner.largestTensor }

    /// Shows exchanges to a tap from now on, instead of to another; to none when it is nil.
    package func open(_ tap: LinkTap?) { self.tap.withLock { $0 = tap } }

    package func exchange(_ request: Request) throws(LinkError) -> Answer {
        guard let tap = tap.withLock({ $0 }) else { return try inner.exchange(request) }
        let start = ContinuousClock.now
        let answer = try inner.exchange(request)
        tap.take(request, answer, since: start)
        return answer
    }

    /// What a tap sees is exchanged at once, so that its times are those of one exchange.
    package func send(_ request: Request) throws(LinkError) -> SentRequest {
        guard tap.withLock({ $0 }) == nil else {
            return SentRequest(answered: .success(try exchange(request)))
        }
        return try inner.send(request)
    }

    package func receive(_ sent: SentRequest) throws(LinkError) -> Answer { try inner.receive(sent) }

    package func connect() throws(LinkError) { try inner.connect() }
}

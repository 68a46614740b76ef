package import SCXLink
import Synchronization

/// A request and its answer, as the worker had them.
///
/// They are as secret as the text where the profile hides nothing.
package struct CapturedExchange: Sendable {
    package let request: Request
    package let answer: Answer
    /// When the exchange began, counted from when the tap was made.
    package let start: Duration
    package let duration: Duration
}

/// Collects the exchanges that cross a ``TappedLink``, up to a limit.
package final class LinkTap: Sendable {
    private struct State {
        var exchanges: [CapturedExchange] = []
        var bytes = 0
        var isComplete = true
    }

    private let begin = ContinuousClock.now
    private let limit: Int
    private let state = Mutex(State())

    /// Makes a tap.
    ///
    /// - Parameter limit: The most bytes of tensors. Recording ends before the first exchange with which there would
    ///   be more.
    package init(limit: Int = 64 << 20) { self.limit = limit }

    package var exchanges: [CapturedExchange] { state.withLock { $0.exchanges } }

    /// False when the limit was reached, so that later exchanges are missing.
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

/// A link that can show to a tap what crosses it.
///
/// The tap gets the rows of all sessions. To get those of one request, open it while no other request is computed.
package final class TappedLink: WorkerLink {
    private let inner: any WorkerLink
    private let tap = Mutex<LinkTap?>(nil)

    package init(_ inner: any WorkerLink) { self.inner = inner }

    package var traffic: Traffic { inner.traffic }

    package var largestTensor: Int { inner.largestTensor }

    /// Shows all further exchanges to this tap and no longer to an earlier one; nil shows them to none.
    package func open(_ tap: LinkTap?) { self.tap.withLock { $0 = tap } }

    package func exchange(_ request: Request) throws(LinkError) -> Answer {
        guard let tap = tap.withLock({ $0 }) else { return try inner.exchange(request) }
        let start = ContinuousClock.now
        let answer = try inner.exchange(request)
        tap.take(request, answer, since: start)
        return answer
    }

    /// While there is a tap, a request is exchanged at once, so that the times are those of one exchange.
    package func send(_ request: Request) throws(LinkError) -> SentRequest {
        guard tap.withLock({ $0 }) == nil else {
            return SentRequest(answered: .success(try exchange(request)))
        }
        return try inner.send(request)
    }

    package func receive(_ sent: SentRequest) throws(LinkError) -> Answer { try inner.receive(sent) }

    package func receive(_ sent: SentRequest, within limit: Duration) throws(LinkError) -> Answer {
        try inner.receive(sent, within: limit)
    }

    package func connect() throws(LinkError) { try inner.connect() }
}

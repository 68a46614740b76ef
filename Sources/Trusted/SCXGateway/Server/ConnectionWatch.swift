package import NIOCore
import Synchronization

/// Tells when the client of a connection is gone, so that nobody computes for it.
///
/// A client that has only closed its sending half counts as gone: that is how a client that gave up looks, too.
package final class ConnectionWatch: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    package typealias InboundIn = Any
    package typealias InboundOut = Any

    private struct State {
        var isGone = false
        var onGone: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { tell() }
        context.fireUserInboundEventTriggered(event)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        tell()
        context.fireChannelInactive()
    }

    private func tell() {
        let action = state.withLock { state in
            state.isGone = true
            defer { state.onGone = nil }
            return state.onGone
        }
        action?()
    }

    /// The same events, which end when the client goes: also while none comes that could not be written.
    func watched<Event: Sendable>(
        _ events: AsyncThrowingStream<Event, any Error>
    ) -> AsyncThrowingStream<Event, any Error> {
        let (stream, continuation) = AsyncThrowingStream<Event, any Error>.makeStream()
        let task = Task {
            do {
                for try await event in events { continuation.yield(event) }
                continuation.finish()
            } catch { continuation.finish(throwing: error) }
        }
        continuation.onTermination = { [self] _ in
            task.cancel()
            state.withLock { $0.onGone = nil }
        }
        onGone { task.cancel() }
        return stream
    }

    /// Has something done when the client goes, at once if it has gone.
    package func onGone(_ action: @escaping @Sendable () -> Void) {
        let isGone = state.withLock { state in
            state.onGone = action
            return state.isGone
        }
        if isGone { action() }
    }

    /// Runs work that is cancelled when the client goes.
    package func run<Result: Sendable>(_ work: @escaping @Sendable () async throws -> Result) async throws
        -> Result
    {
        let task = Task { try await work() }
        onGone { task.cancel() }
        defer { state.withLock { $0.onGone = nil } }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}

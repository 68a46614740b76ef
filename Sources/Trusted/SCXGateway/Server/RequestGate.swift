import NIOCore
import NIOHTTP1

/// What the code that answers a request asks of its connection, as an outbound event.
enum BodyStep: Sendable {
    /// The body is wanted: a client that waits for `100 Continue` may send it.
    case wanted
}

/// Handles requests whose body is not, or not yet, wanted; it stands between the HTTP decoder and the rest of the server.
///
/// - A client that sends `Expect: 100-continue` gets `100 Continue` when its body is about to be read. A request that is
///   refused before that gets its answer at once.
/// - When an answer begins before its request has come to its end, as for a body that is too large, the answer says
///   `Connection: close`. What still comes of the request is then read and dropped until it ends, or until a limit on bytes
///   or time is reached, and the connection is closed. So a client that sends its whole request before it reads gets the
///   answer; if the connection were closed at once, it would only see that sending fails.
///
/// It also tells the ``ConnectionDoor`` when a request's header is complete and when its request is done with.
final class RequestGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let refusedTime: TimeAmount
    /// Bytes of a refused body that may still be read.
    private var refusedBytes: Int
    /// Requests that came to their end, and those that were answered to the end; a client may send several at once.
    private var (received, answered) = (0, 0)
    /// The client waits for `100 Continue` before it sends the body of the request that is not at its end.
    private var expectsInterim = false
    /// The answer began before the request had ended.
    private var isEarly = false
    /// The answer is written, and the rest of the request is dropped.
    private var isDropping = false
    private var deadline: Scheduled<Void>?

    init(_ limits: ServerLimits) {
        refusedTime = .nanoseconds(limits.refusedTime.nanoseconds)
        refusedBytes = limits.refusedBytes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDropping else { return drop(unwrapInboundIn(data), context) }
        switch unwrapInboundIn(data) {
        case .head(let head):
            expectsInterim =
                head.version != .http1_0
                && head.headers["expect"].contains { $0.lowercased() == "100-continue" }
            context.triggerUserOutboundEvent(ConnectionStep.requested, promise: nil)
        case .body: expectsInterim = false
        case .end:
            expectsInterim = false
            received += 1
        }
        context.fireChannelRead(data)
    }

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard event is BodyStep else { return context.triggerUserOutboundEvent(event, promise: promise) }
        promise?.succeed(())
        guard expectsInterim, received == answered, !isEarly else { return }
        expectsInterim = false
        let head = HTTPResponseHead(version: .http1_1, status: .continue)
        context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            guard received == answered else { return context.write(data, promise: promise) }
            isEarly = true
            head.headers.replaceOrAdd(name: "connection", value: "close")
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body: context.write(data, promise: promise)
        case .end:
            guard isEarly else {
                answered += 1
                context.triggerUserOutboundEvent(ConnectionStep.answered, promise: nil)
                return context.write(data, promise: promise)
            }
            context.writeAndFlush(data, promise: promise)
            // The request may have ended while it was answered.
            guard received == answered else { return context.close(promise: nil) }
            isDropping = true
            let channel = context.channel
            deadline = context.eventLoop.scheduleTask(in: refusedTime) { channel.close(promise: nil) }
        }
    }

    /// Takes a part of a request that nobody reads.
    private func drop(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        guard case .body(let bytes) = part, bytes.readableBytes <= refusedBytes else {
            return context.close(promise: nil)
        }
        refusedBytes -= bytes.readableBytes
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Nothing more comes of the request.
        if isDropping, let event = event as? ChannelEvent, event == .inputClosed {
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }
}

import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOTLS

/// What the handlers further inside tell the ``ConnectionDoor`` of a connection.
enum ConnectionStep {
    /// TLS is agreed on.
    case secured
    /// Bytes have come.
    case received
    /// The header of a request is complete.
    case requested
    /// A response is written, and no more is read of its request.
    case answered
}

/// The outermost part of a connection: it notes the connection in the register, and closes it when TLS or a request's header
/// takes too long.
///
/// It closes without what TLS would say at the end, since a client that keeps others out would not listen.
private final class ConnectionDoor: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = Any
    typealias OutboundIn = Any

    /// Asks the connection to close, unless a request has come meanwhile.
    struct Leave: Sendable {}

    private let register: ConnectionRegister
    private let patience: TimeAmount
    private var number: Int?
    private var deadline: Scheduled<Void>?
    /// Requests that are not answered yet.
    private var requests = 0

    init(_ register: ConnectionRegister, patience: TimeAmount) {
        (self.register, self.patience) = (register, patience)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { enter(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        enter(context)
        context.fireChannelActive()
    }

    private func enter(_ context: ChannelHandlerContext) {
        guard number == nil else { return }
        let channel = context.channel
        number = register.open(Self.address(channel)) {
            channel.pipeline.fireUserInboundEventTriggered(Leave())
        }
        guard number != nil else { return context.close(promise: nil) }
        expectHeader(context)
    }

    /// Closes the connection when no header is complete in time.
    private func expectHeader(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: patience) {
            channel.pipeline.fireUserInboundEventTriggered(Leave())
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is Leave else { return context.fireUserInboundEventTriggered(event) }
        if requests == 0 { context.close(promise: nil) }
    }

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard let step = event as? ConnectionStep else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        promise?.succeed(())
        guard let number else { return }
        switch step {
        case .secured: expectHeader(context)
        case .received:
            if requests == 0, deadline == nil { expectHeader(context) }
        case .requested:
            requests += 1
            deadline?.cancel()
            deadline = nil
            register.change(number, to: .busy)
        case .answered:
            requests = max(0, requests - 1)
            if requests == 0 { register.change(number, to: .idle) }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { leave() }

    private func leave() {
        deadline?.cancel()
        deadline = nil
        if let number { register.end(number) }
        number = nil
    }

    /// Whose connection it is: an address, or the half of one that a network gives to a single customer.
    private static func address(_ channel: any Channel) -> String {
        guard let address = channel.remoteAddress?.ipAddress else { return "" }
        return ConnectionRegister.owner(ofAddress: address)
    }
}

extension ConnectionRegister {
    /// The name under which connections from an address are counted.
    ///
    /// - Parameter address: In numbers, of IP version 4 or 6.
    /// - Returns: The address; of version 6 its first 64 bits, since everybody has all addresses that begin with them.
    package static func owner(ofAddress address: String) -> String {
        guard address.contains(":"), !address.contains(".") else {
            // Version 4, also where it is written as version 6.
            return address.split(separator: ":").last.map { String($0) } ?? address
        }
        // "::" stands for as many zeros as are missing; "%" and an interface may follow.
        let groups = address.prefix { $0 != "%" }
        let gap = groups.firstRange(of: "::")
        let first = groups[..<(gap?.lowerBound ?? groups.endIndex)].split(separator: ":")
        let last = groups[(gap?.upperBound ?? groups.endIndex)...].split(separator: ":")
        let zeros = repeatElement("0"[...], count: max(0, 8 - first.count - last.count))
        return (first + zeros + last).prefix(4).joined(separator: ":")
    }
}

/// Tells the door when TLS is agreed on and when bytes of requests come.
private final class BytesWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any
    typealias InboundOut = Any

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.triggerUserOutboundEvent(ConnectionStep.received, promise: nil)
        context.fireChannelRead(data)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event {
            context.triggerUserOutboundEvent(ConnectionStep.secured, promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }
}

/// A connection with a door around everything else, TLS included.
struct GuardedConnection<Base: ServerChildChannel>: ServerChildChannel {
    let base: Base
    let register: ConnectionRegister
    /// How long TLS, and then a request's header, may take.
    let patience: TimeAmount

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Base.Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(ConnectionDoor(register, patience: patience))
        }.flatMap { base.setup(channel: channel, logger: logger) }
    }

    func handle(value: Base.Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}

/// An HTTP connection that tells the door around it what it does, with a ``RequestGate``.
struct WatchedConnection: ServerChildChannel {
    let base: HTTP1Channel
    let limits: ServerLimits

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(BytesWatch())
        }.flatMap { base.setup(channel: channel, logger: logger) }.flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(RequestGate(limits), position: .after(decoder))
            return value
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await base.handle(value: value, logger: logger)
    }
}

import NIOCore
import NIOPosix
import NIOSSL
public import SCXLink

/// Accepts connections over TCP and mutual TLS 1.3.
///
/// ``accept(before:)`` returns only peers whose certificates have been verified. Handshakes run concurrently on event
/// loops, so a peer that is silent or does not speak TLS delays nobody. Each handshake has 10 seconds, and when more
/// than ``handshakeLimit`` are under way the oldest is ended.
public final class TLSServer: Sendable {
    static let handshakeLimit = 256
    /// The most connections that wait for ``accept(before:)``; further ones are closed.
    private static let acceptLimit = 64

    private struct State: Sendable {
        /// Handshakes under way, the oldest first.
        var shaking: [TLSStream] = []
        var ready = CircularBuffer<TLSStream>()
        var isClosed = false
    }

    /// The port it listens on, which the system chose if 0 was asked for.
    public let port: Int
    private let channel: any Channel
    private let monitor: Monitor<State>

    /// Begins to listen.
    ///
    /// - Parameters:
    ///   - host: Name or address of this machine to listen on.
    ///   - port: 0 for any that is free.
    ///   - identity: This side's certificate and key, and whom it lets in.
    ///   - takesSigned: Whether clients may also have certificates that are only signed by one in the trust file. If
    ///     so, put only authorities into that file, since BoringSSL lets every certificate in it vouch for others.
    ///   - onRefusal: Called with the reason when a peer is refused. It is called on an event loop, so it must not
    ///     block.
    /// - Throws: ``LinkError`` when the address cannot be used. Do not call it on an event loop.
    public init(
        host: String, port: Int, identity: TLSIdentity, takesSigned: Bool = false,
        onRefusal: @escaping @Sendable (LinkError) -> Void = { _ in }
    ) throws(LinkError) {
        let monitor = Monitor(State())
        self.monitor = monitor
        do {
            let context = try identity.context(.noHostnameVerification)
            channel = try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .serverChannelOption(.backlog, value: 256)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelOption(.recvAllocator, value: receiveBuffers)
                .childChannelInitializer { channel in
                    let stream = TLSStream(peer: "client at \(channel.remoteAddress.described)")
                    Self.begin(stream, monitor)
                    let handler = TLSStreamHandler(stream, identity: identity, needsPin: !takesSigned) {
                        outcome in
                        Self.end(stream, outcome, monitor).map(onRefusal)
                    }
                    return channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers([
                            NIOSSLServerHandler(context: context), handler,
                        ])
                    }
                }
                .bind(host: host, port: port).wait()
        } catch {
            let reason = (error as? IOError)?.systemReason ?? "\(error)"
            throw .disconnected("cannot listen on \(host):\(port): \(reason)")
        }
        self.port = channel.localAddress?.port ?? port
    }

    deinit { close() }

    /// Waits for the next peer whose certificate was verified.
    ///
    /// - Throws: ``LinkError/timedOut(_:)`` after the deadline, ``LinkError/disconnected(_:)`` once the server is
    ///   closed.
    public func accept(before deadline: Deadline = .never) throws(LinkError) -> TLSStream {
        let outcome = monitor.wait(before: deadline) { state -> Result<TLSStream, LinkError>? in
            if let stream = state.ready.popFirst() { return .success(stream) }
            return state.isClosed ? .failure(.disconnected("the server is closed")) : nil
        }
        guard let outcome else { throw .timedOut("nobody has connected") }
        return try outcome.get()
    }

    /// Stops listening, and ends the connections that nobody has accepted yet.
    ///
    /// It may be called from any thread, and twice.
    public func close() {
        channel.close(promise: nil)
        let streams = monitor.update { state in
            state.isClosed = true
            defer { (state.shaking, state.ready) = ([], []) }
            return state.shaking + state.ready
        }
        for stream in streams { stream.close() }
    }

    private static func begin(_ stream: TLSStream, _ monitor: Monitor<State>) {
        let oldest: TLSStream? = monitor.update { state in
            state.shaking.append(stream)
            return state.shaking.count > Self.handshakeLimit ? state.shaking.removeFirst() : nil
        }
        oldest?.fail(.timedOut("\(oldest?.peer ?? ""): too many handshakes at once, and this was the oldest"))
    }

    /// Hands a stream to ``accept(before:)`` after its handshake.
    ///
    /// - Returns: Why the peer is refused, if it is.
    private static func end(
        _ stream: TLSStream, _ outcome: Result<TLSStream, LinkError>, _ monitor: Monitor<State>
    ) -> LinkError? {
        let error: LinkError? = monitor.update { state in
            state.shaking.removeAll { $0 === stream }
            if case .failure(let error) = outcome { return error }
            guard !state.isClosed, state.ready.count < Self.acceptLimit else {
                return .workerFull("\(stream.peer): too many connections wait to be accepted")
            }
            state.ready.append(stream)
            return nil
        }
        if let error { stream.fail(error) }
        return error
    }
}

extension SocketAddress? {
    fileprivate var described: String {
        guard let self, let host = self.ipAddress, let port = self.port else { return "an unknown address" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

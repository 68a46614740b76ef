import NIOCore
import NIOPosix
import NIOSSL
public import SCXLink

#if !Network
    #error("SCXLinkTLS needs the trait 'Network'; without it, name a product: swift build --product scx")
#endif

/// Connects to workers over TCP and mutual TLS 1.3.
public enum TLSClient {
    /// Connects to a worker, and returns when both sides have verified each other's certificates.
    ///
    /// In TLS 1.3 the worker verifies this side's certificate last. If it refuses the certificate, the first
    /// ``TLSStream/read(_:before:)`` throws an error that says so.
    ///
    /// - Parameters:
    ///   - host: Name or address of the worker's machine.
    ///   - port: The worker's port.
    ///   - identity: This side's certificate and key, and whom it trusts.
    ///   - name: The host name that the worker's certificate must have. Without a name, the certificate must itself
    ///     be in the identity's trust file; then it is known, and no name is needed. If the trust file has an
    ///     authority, which may have signed certificates of many hosts, the name distinguishes them.
    ///   - deadline: Until when the connection and its handshake must be complete; a handshake may take 10 seconds in
    ///     any case.
    /// - Returns: A stream that the caller must close.
    /// - Throws: ``LinkError`` that names the worker. Do not call it on an event loop.
    public static func connect(
        host: String, port: Int, identity: TLSIdentity, name: String? = nil, before deadline: Deadline
    ) throws(LinkError) -> TLSStream {
        let stream = TLSStream(peer: "worker at \(host):\(port)")
        let context: NIOSSLContext
        do {
            context = try identity.context(name == nil ? .noHostnameVerification : .fullVerification)
        } catch {
            throw .disconnected("\(stream.peer): \(error)")
        }
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: receiveBuffers)
            .connectTimeout(TimeAmount(deadline.remaining ?? .seconds(3600)))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOSSLClientHandler(context: context, serverHostname: name),
                        TLSStreamHandler(stream, identity: identity, needsPin: name == nil),
                    ])
                }
            }
        bootstrap.connect(host: host, port: port).whenFailure { error in
            stream.fail(.disconnected("\(stream.peer): \(connectReason(error))"))
        }
        try stream.waitUntilReady(before: deadline)
        return stream
    }

    private static func connectReason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { connectReason($0.error) } ?? "no such host"
        case is SocketAddressError: "no such host"
        case ChannelError.connectTimeout: "it does not answer"
        case let error as NIOSSLExtraError where error == .cannotUseIPAddressInSNI:
            "a certificate's name can only be checked if it is a host name, not an address"
        case let error as IOError: error.systemReason
        default: "\(error)"
        }
    }
}

/// Sizes of the buffers for encrypted bytes; large ones are faster when tensors stream in.
let receiveBuffers = AdaptiveRecvByteBufferAllocator(minimum: 4 << 10, initial: 64 << 10, maximum: 1 << 20)

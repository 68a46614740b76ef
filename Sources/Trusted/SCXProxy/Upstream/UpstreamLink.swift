import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

#if !Network
    #error("SCXProxy needs the trait 'Network'; without it, name a product: swift build --product scx")
#endif

/// One connection over TLS 1.3 to a server, on which one request at a time is sent and its answer read part by part.
///
/// Nothing is read from the network that nobody asks for, so that a client that reads slowly slows the server down. The
/// connection is closed when the last reference is dropped.
final class UpstreamLink: Sendable {
    private let channel: any Channel
    private let reader: NIOLoopBound<AnswerReader>

    private init(_ channel: any Channel, _ reader: NIOLoopBound<AnswerReader>) {
        (self.channel, self.reader) = (channel, reader)
    }

    deinit { channel.close(promise: nil) }

    /// Connects, and agrees on TLS 1.3 with whoever answers.
    ///
    /// - Returns: The connection, and the public key (SubjectPublicKeyInfo, DER) that the other end proved to have.
    static func open(
        _ address: UpstreamAddress, times: UpstreamTimes
    ) async throws(UpstreamFault) -> (link: UpstreamLink, key: [UInt8]) {
        do {
            let context = try context.get()
            let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connectTimeout(times.connect)
            let (link, secured, shown) = try await bootstrap.connect(host: address.host, port: address.port) {
                channel in
                // One for each address of the host that is tried.
                let shown = PresentedKey()
                return channel.eventLoop.makeCompletedFuture {
                    let tls = try NIOSSLClientHandler(
                        context: context, serverHostname: address.serverName,
                        customVerificationCallback: shown.take)
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(tls)
                    var limits = NIOHTTPDecoderLimitConfiguration()
                    limits.maxHeaderFieldSize = 16 << 10
                    limits.maxHeaderListSize = 64 << 10
                    try pipeline.addHTTPClientHandlers(decoderLimitConfiguration: limits)
                    let reader = AnswerReader(channel.eventLoop.makePromise())
                    try pipeline.addHandler(reader)
                    let bound = NIOLoopBound(reader, eventLoop: channel.eventLoop)
                    return (UpstreamLink(channel, bound), reader.secured.futureResult, shown)
                }
            }
            link.expect(within: times.handshake, or: "TLS was not agreed on in time")
            try await secured.get()
            link.endExpectation()
            guard let key = shown.key else {
                link.close()
                throw UpstreamFault("the server showed no certificate")
            }
            return (link, key)
        } catch {
            throw UpstreamFault(error)
        }
    }

    /// No session is ever resumed: a client of NIOSSL's keeps none, and a handshake without a certificate is refused above.
    private static let context = Result {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv13
        configuration.applicationProtocols = ["http/1.1"]
        // The callback takes the place of a judgement by authorities.
        configuration.certificateVerification = .noHostnameVerification
        configuration.shutdownTimeout = .seconds(1)
        return try NIOSSLContext(configuration: configuration)
    }

    // MARK: Requests and answers

    /// Whether a request can be sent.
    var isOpen: Bool { channel.isActive }

    func close() { channel.close(promise: nil) }

    /// Says that an answer is expected from now on.
    func begin() async throws(UpstreamFault) { try await onLoop { try $0.begin() } }

    /// Says that the answer is at its end, and whether all that came belonged to it.
    func end() async throws(UpstreamFault) { try await onLoop { try $0.end() } }

    private func onLoop(_ body: @escaping @Sendable (AnswerReader) throws -> Void) async throws(UpstreamFault)
    {
        do {
            try await channel.eventLoop.submit { [reader] in try body(reader.value) }.get()
        } catch { throw UpstreamFault(error) }
    }

    /// Sends a part of a request, and waits until the network has taken it.
    func write(_ part: HTTPClientRequestPart) async throws(UpstreamFault) {
        do { try await channel.writeAndFlush(part) } catch { throw UpstreamFault(error) }
    }

    /// Sends a whole request, and waits for the head of its answer.
    func ask(_ request: HTTPRequestHead, body: [UInt8]? = nil) async throws(UpstreamFault) -> HTTPResponseHead
    {
        try await begin()
        try await write(.head(request))
        if let body { try await write(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
        try await write(.end(nil))
        guard case .head(let head) = try await next() else { throw UpstreamFault("no answer came") }
        return head
    }

    /// The answer's body, of which no more is read than shows that it is too large.
    ///
    /// - Returns: All of it, or `limit` bytes and one more; then the rest is not read.
    func body(limit: Int) async throws(UpstreamFault) -> [UInt8] {
        var bytes: [UInt8] = []
        while case .body(let part) = try await next() {
            bytes += part.readableBytesView.prefix(limit + 1 - bytes.count)
            if bytes.count > limit { break }
        }
        return bytes
    }

    /// The next part of the answer; ends the connection where its task is cancelled.
    func next() async throws(UpstreamFault) -> HTTPClientResponsePart {
        do {
            return try await withTaskCancellationHandler {
                try await channel.eventLoop.flatSubmit { [reader] in reader.value.next() }.get()
            } onCancel: {
                channel.close(promise: nil)
            }
        } catch { throw UpstreamFault(error) }
    }

    /// Ends the connection unless ``endExpectation()`` is called in time.
    func expect(within time: TimeAmount, or fault: String) {
        channel.eventLoop.execute { [reader] in reader.value.expect(within: time, or: UpstreamFault(fault)) }
    }

    func endExpectation() {
        channel.eventLoop.execute { [reader] in reader.value.endExpectation() }
    }
}

/// The key of the certificate that the other end of a connection showed, and proved to have.
private final class PresentedKey: Sendable {
    private let stored = Mutex<[UInt8]?>(nil)

    var key: [UInt8]? { stored.withLock { $0 } }

    /// Takes any certificate, because the evidence, not an authority, says whose key it is.
    ///
    /// TLS goes on to check that the other end has the private key.
    @Sendable func take(_ chain: [NIOSSLCertificate], _ promise: EventLoopPromise<NIOSSLVerificationResult>) {
        guard let key = try? chain.first?.extractPublicKey().toSPKIBytes() else {
            return promise.succeed(.failed)
        }
        stored.withLock { $0 = key }
        promise.succeed(.certificateVerified)
    }
}

/// Hands out the parts of answers as they are asked for.
private final class AnswerReader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    /// Succeeds when TLS is agreed on.
    let secured: EventLoopPromise<Void>
    private var isSecured = false
    private var context: ChannelHandlerContext?
    /// Parts that one read brought and nobody has asked for yet.
    private var parts = CircularBuffer<HTTPClientResponsePart>()
    private var waiting: EventLoopPromise<HTTPClientResponsePart>?
    private var isExpecting = false
    /// Why nothing more comes.
    private var fault: UpstreamFault?
    private var deadline: Scheduled<Void>?

    init(_ secured: EventLoopPromise<Void>) { self.secured = secured }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(with: UpstreamFault("the connection was closed"))
        self.context = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event {
            isSecured = true
            do {
                // From now on each part is read when it is asked for.
                try context.channel.syncOptions?.setOption(.autoRead, value: false)
                secured.succeed(())
            } catch { end(with: UpstreamFault(error)) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isExpecting else { return end(with: UpstreamFault("it sent what nobody asked for")) }
        let part = unwrapInboundIn(data)
        if let waiting {
            self.waiting = nil
            waiting.succeed(part)
        } else {
            parts.append(part)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if waiting != nil { context.read() }
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { end(with: UpstreamFault(error)) }

    func channelInactive(context: ChannelHandlerContext) {
        end(with: UpstreamFault("the connection was closed"))
        context.fireChannelInactive()
    }

    private func end(with fault: UpstreamFault) {
        endExpectation()
        let first = self.fault ?? fault
        self.fault = first
        if !isSecured {
            isSecured = true
            secured.fail(first)
        }
        waiting?.fail(first)
        waiting = nil
        context?.close(promise: nil)
    }

    // MARK: What the link asks

    func begin() throws {
        if let fault { throw fault }
        isExpecting = true
    }

    func end() throws {
        isExpecting = false
        guard parts.isEmpty, fault == nil else {
            end(with: UpstreamFault("it sent what nobody asked for"))
            throw UpstreamFault("it sent what nobody asked for")
        }
        // So that the end of the connection is seen while it is idle.
        context?.read()
    }

    func next() -> EventLoopFuture<HTTPClientResponsePart> {
        let eventLoop = secured.futureResult.eventLoop
        // What came before the connection ended is still to be read.
        if let part = parts.popFirst() { return eventLoop.makeSucceededFuture(part) }
        guard let context, fault == nil, waiting == nil else { return eventLoop.makeFailedFuture(ended) }
        let promise = context.eventLoop.makePromise(of: HTTPClientResponsePart.self)
        waiting = promise
        context.read()
        return promise.futureResult
    }

    private var ended: UpstreamFault { fault ?? UpstreamFault("the connection was closed") }

    func expect(within time: TimeAmount, or fault: UpstreamFault) {
        guard let context, self.fault == nil else { return }
        deadline?.cancel()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: time) { bound.value.end(with: fault) }
    }

    func endExpectation() {
        deadline?.cancel()
        deadline = nil
    }
}

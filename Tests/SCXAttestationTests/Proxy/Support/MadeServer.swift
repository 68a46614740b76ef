import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import SCXAttestation
import SCXProxy
import Synchronization

/// A TLS server on this machine that records every byte which it is sent, and answers as a test says.
final class MadeServer: Sendable {
    struct Request: Sendable {
        let method: String
        let uri: String
        let headers: HTTPHeaders
        let body: String

        /// The nonce of a question for evidence; nil for other requests.
        var nonce: [UInt8]? {
            let prefix = "\(AttestationDocument.path)?nonce="
            return uri.hasPrefix(prefix) ? Hex.bytes(String(uri.dropFirst(prefix.count))) : nil
        }
    }

    enum Reply: Sendable {
        case answer(status: Int = 200, headers: [(String, String)] = [], _ body: [UInt8])
        /// A body that comes part by part.
        case stream(AsyncStream<String>)
        /// The beginning of a body, after which the connection is closed.
        case torn([UInt8])
        /// Bytes that need not be HTTP.
        case bytes([UInt8])
        case silence

        static func text(_ text: String, status: Int = 200, headers: [(String, String)] = []) -> Reply {
            .answer(status: status, headers: headers, Array(text.utf8))
        }
    }

    /// Answers a request on a connection that was secured with a key, of which the public half is given in DER.
    typealias Answer = @Sendable (Request, _ key: [UInt8]) async throws -> Reply

    /// A request with this header is answered when its header has come.
    static let early = "X-Answer-Early"

    private struct State {
        var key: P256.Signing.PrivateKey
        var answer: Answer
        var wire: [UInt8] = []
        var opened = 0
        var closed = 0
    }

    private let state: Mutex<State>
    private let channel: Mutex<(any Channel)?> = Mutex(nil)

    /// - Parameters:
    ///   - key: The key of its certificate, which it signs itself.
    ///   - newest: The newest version of TLS that it speaks.
    ///   - answer: Answers requests.
    /// - Throws: When it cannot listen.
    init(
        key: P256.Signing.PrivateKey = P256.Signing.PrivateKey(), newest: TLSVersion = .tlsv13,
        _ answer: @escaping Answer
    ) async throws {
        state = Mutex(State(key: key, answer: answer))
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { [weak self] channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let self else { throw ChannelError.ioOnClosedChannel }
                    let key = self.state.withLock { state in
                        state.opened += 1
                        return state.key
                    }
                    channel.closeFuture.whenComplete { _ in self.state.withLock { $0.closed += 1 } }
                    let context = try Self.context(key, newest: newest)
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLServerHandler(context: context))
                    try pipeline.addHandler(Recorder { bytes in self.state.withLock { $0.wire += bytes } })
                    try pipeline.configureHTTPServerPipeline(withErrorHandling: false)
                    let publicKey = Array(key.publicKey.derRepresentation)
                    try pipeline.addHandler(
                        RequestHandler { request in
                            try await self.state.withLock(\.answer)(request, publicKey)
                        })
                }
            }.bind(host: "127.0.0.1", port: 0).get()
        self.channel.withLock { $0 = channel }
    }

    /// Listens no more.
    func stop() async { try? await channel.withLock { $0 }?.close() }

    deinit { channel.withLock { _ = $0?.close() } }

    var port: Int { channel.withLock { $0?.localAddress?.port ?? 0 } }

    var address: UpstreamAddress {
        get throws {
            guard let address = UpstreamAddress("https://localhost:\(port)") else {
                throw Missing(what: "address")
            }
            return address
        }
    }

    /// What it was sent on all connections, after decryption.
    var wire: String { String(decoding: state.withLock(\.wire), as: UTF8.self) }
    /// How many connections it got.
    var opened: Int { state.withLock(\.opened) }
    /// How many of them have ended.
    var closed: Int { state.withLock(\.closed) }

    func forgetWire() { state.withLock { $0.wire = [] } }

    /// Has new connections secured with another key.
    func use(_ key: P256.Signing.PrivateKey) { state.withLock { $0.key = key } }

    /// Has requests answered in another way.
    func answer(_ answer: @escaping Answer) { state.withLock { $0.answer = answer } }

    private static func context(_ key: P256.Signing.PrivateKey, newest: TLSVersion) throws -> NIOSSLContext {
        let certificate = try MadeCertificate(
            subject: "server", issuer: "server", publicKey: Array(key.publicKey.derRepresentation),
            extensions: [MadeDER.certificateAuthority]
        ).encoded(by: .p256(key))
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(try NIOSSLCertificate(bytes: certificate, format: .der))],
            privateKey: .privateKey(
                try NIOSSLPrivateKey(bytes: Array(key.pemRepresentation.utf8), format: .pem)))
        configuration.minimumTLSVersion = .tlsv12
        configuration.maximumTLSVersion = newest
        return try NIOSSLContext(configuration: configuration)
    }
}

/// Notes what is decrypted, before anything reads it as HTTP.
private final class Recorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let note: ([UInt8]) -> Void

    init(_ note: @escaping ([UInt8]) -> Void) { self.note = note }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        note(Array(unwrapInboundIn(data).readableBytesView))
        context.fireChannelRead(data)
    }
}

/// Hands whole requests to a test, and writes its replies.
private final class RequestHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart

    private let answer: @Sendable (MadeServer.Request) async throws -> MadeServer.Reply
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    init(_ answer: @escaping @Sendable (MadeServer.Request) async throws -> MadeServer.Reply) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
            if head.headers.contains(name: MadeServer.early) { respond(context) }
        case .body(var part): body.writeBuffer(&part)
        case .end: respond(context)
        }
    }

    private func respond(_ context: ChannelHandlerContext) {
        guard let head else { return }
        self.head = nil
        let request = MadeServer.Request(
            method: head.method.rawValue, uri: head.uri, headers: head.headers,
            body: String(buffer: body))
        Self.start(answer, request, context.channel)
    }

    private static func start(
        _ answer: @escaping @Sendable (MadeServer.Request) async throws -> MadeServer.Reply,
        _ request: MadeServer.Request, _ channel: any Channel
    ) {
        Task {
            guard let reply = try? await answer(request) else { return channel.close(promise: nil) }
            do { try await RequestHandler.write(reply, to: channel) } catch { channel.close(promise: nil) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private static func write(_ reply: MadeServer.Reply, to channel: any Channel) async throws {
        func head(_ status: Int, _ headers: [(String, String)]) -> HTTPServerResponsePart {
            .head(
                HTTPResponseHead(
                    version: .http1_1, status: .init(statusCode: status), headers: HTTPHeaders(headers)))
        }
        func body(_ bytes: some Sequence<UInt8>) -> HTTPServerResponsePart {
            .body(.byteBuffer(ByteBuffer(bytes: bytes)))
        }
        switch reply {
        case .silence: return
        case .answer(let status, let headers, let bytes):
            channel.write(head(status, headers + [("content-length", "\(bytes.count)")]), promise: nil)
            channel.write(body(bytes), promise: nil)
            try await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
            if headers.contains(where: { $0.0 == "connection" }) { try await channel.close() }
        case .torn(let bytes):
            channel.write(head(200, [("content-length", "\(bytes.count + 1)")]), promise: nil)
            try await channel.writeAndFlush(body(bytes))
            try await channel.close()
        case .stream(let parts):
            try await channel.writeAndFlush(head(200, [("content-type", "text/event-stream")]))
            for await part in parts { try await channel.writeAndFlush(body(part.utf8)) }
            try await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        case .bytes(let bytes):
            // Behind the encoder of HTTP.
            try await channel.eventLoop.submit {
                let context = try channel.pipeline.syncOperations.context(handlerType: Recorder.self)
                context.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: nil)
            }.get()
        }
    }
}

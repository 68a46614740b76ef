import Crypto
import NIOCore
import NIOSSL
import NIOTLS
import SCXLink

/// Moves bytes between a channel, after its TLS handler, and a ``TLSStream``.
final class TLSStreamHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer

    /// How long a handshake may take.
    static let handshakeTime = TimeAmount.seconds(10)

    private let stream: TLSStream
    private let identity: TLSIdentity
    /// Whether the peer's certificate must itself be in the trust file.
    private let needsPin: Bool
    private let onHandshake: (Result<TLSStream, LinkError>) -> Void
    /// Whether the stream uses this channel.
    ///
    /// For a host with several addresses, several channels are tried at once.
    private var isMine = false
    private var isReady = false
    private var timer: Scheduled<Void>?

    /// Makes the handler of one connection.
    ///
    /// - Parameters:
    ///   - stream: The stream that receives the bytes.
    ///   - identity: Whom this side trusts.
    ///   - needsPin: Whether the peer's certificate must itself be in the trust file. If so, it is not enough that
    ///     one in the file has signed it.
    ///   - onHandshake: Called once with the result of the handshake.
    init(
        _ stream: TLSStream, identity: TLSIdentity, needsPin: Bool,
        onHandshake: @escaping (Result<TLSStream, LinkError>) -> Void = { _ in }
    ) {
        self.stream = stream
        self.identity = identity
        self.needsPin = needsPin
        self.onHandshake = onHandshake
    }

    func channelActive(context: ChannelHandlerContext) {
        isMine = stream.attach(context.channel)
        guard isMine else { return context.close(promise: nil) }
        let (stream, channel) = (stream, context.channel)
        timer = context.eventLoop.scheduleTask(in: Self.handshakeTime) {
            guard !stream.isReady else { return }
            stream.fail(.timedOut("\(stream.peer): no TLS handshake within 10 seconds"))
            channel.close(promise: nil)
        }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            guard !needsPin || isPinned(context) else {
                end(.incompatible(notPinned))
                return context.close(promise: nil)
            }
            guard let key = keyDigest(context) else {
                end(.incompatible("\(stream.peer): the public key of its certificate cannot be read"))
                return context.close(promise: nil)
            }
            isReady = stream.becomeReady(key: key)
            if isReady {
                timer?.cancel()
                onHandshake(.success(stream))
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func read(context: ChannelHandlerContext) {
        if !stream.holdIfFull() { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { stream.receive(unwrapInboundIn(data)) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(describe(error, context))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(.disconnected("\(stream.peer) closed the connection"))
        context.fireChannelInactive()
    }

    private func end(_ error: LinkError) {
        guard isMine, let timer else { return }
        let reason = stream.finish(error)
        timer.cancel()
        self.timer = nil
        if !isReady { onHandshake(.failure(reason)) }
    }
}

/// Error texts that say what went wrong.
extension TLSStreamHandler {
    private var notPinned: String {
        "\(stream.peer): its certificate is signed by one in \(identity.trustFile) but is not in the file itself: "
            + "add it there"
    }

    private func isPinned(_ context: ChannelHandlerContext) -> Bool {
        certificate(context).map(identity.trusted.contains) ?? false
    }

    /// SHA-256 of the peer's public key, by which the peer is identified whatever certificate it has.
    private func keyDigest(_ context: ChannelHandlerContext) -> [UInt8]? {
        guard let key = try? certificate(context)?.extractPublicKey().toSPKIBytes() else { return nil }
        return Array(SHA256.hash(data: key))
    }

    /// The certificate that the peer sent, verified or not.
    private func certificate(_ context: ChannelHandlerContext) -> NIOSSLCertificate? {
        try? context.pipeline.syncOperations.nioSSL_peerCertificate()
    }

    private func describe(_ error: any Error, _ context: ChannelHandlerContext) -> LinkError {
        if let error = error as? NIOSSLExtraError, error == .failedToValidateHostname {
            return .incompatible("\(stream.peer): its certificate is for another name")
        }
        switch error {
        case NIOSSLError.uncleanShutdown: return .disconnected("\(stream.peer) closed the connection")
        case NIOSSLError.handshakeFailed(let reason):
            return .incompatible("\(stream.peer): \(failure(reason, context))")
        case let error as BoringSSLError:
            return .disconnected("\(stream.peer): \(failure(error, context))")
        case let error as IOError: return .disconnected("\(stream.peer): \(error.systemReason)")
        default: return .disconnected("\(stream.peer): \(error)")
        }
    }

    private func failure(_ error: BoringSSLError, _ context: ChannelHandlerContext) -> String {
        let stack =
            switch error {
            case .sslError(let stack), .unknownError(let stack): stack
            default: [BoringSSLInternalError]()
            }
        let text = stack.map(\.description).joined(separator: "; ")
        func says(_ words: String...) -> Bool { words.contains { text.contains($0) } }

        if says("CERTIFICATE_VERIFY_FAILED") {
            return certificate(context).map(fault) ?? "its certificate is invalid"
        }
        if says("PEER_DID_NOT_RETURN_A_CERTIFICATE") { return "it showed no certificate" }
        if says("ALERT_CERTIFICATE_EXPIRED") { return "it says that this side's certificate has expired" }
        if says("ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE_UNKNOWN", "CERTIFICATE_REQUIRED") {
            return "it does not trust this side's certificate"
        }
        if says("ALERT_BAD_CERTIFICATE") { return "it says that this side's certificate is not valid" }
        if says("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION") {
            return "it does not speak TLS 1.3"
        }
        if says("EOF during") { return "it closed the connection during the handshake" }
        // What remains of BoringSSL's error line without its number and source file.
        let parts = text.split { $0 == ":" || $0 == " " }
        let reason = parts.first { $0.contains("_") && $0.allSatisfy { $0.isUppercase || $0 == "_" } }
        return "TLS failed" + (reason.map { ": " + $0.lowercased().replacing("_", with: " ") } ?? "")
    }

    /// Why a certificate was refused.
    private func fault(_ certificate: NIOSSLCertificate) -> String {
        let now = currentTime()
        if now < certificate.notValidBefore {
            return "its certificate is not valid before \(date(certificate.notValidBefore))"
        }
        if now > certificate.notValidAfter {
            return "its certificate expired on \(date(certificate.notValidAfter))"
        }
        if identity.trusted.contains(certificate) {
            return "its certificate is in \(identity.trustFile), but its key may not be used for this"
        }
        return "its certificate is not one of those in \(identity.trustFile)"
    }
}

import CSCXSystem
import Foundation
package import Hummingbird
import HummingbirdCore
import HummingbirdTLS
package import Logging
import NIOCore
import NIOSSL
import SCXInference
import ServiceLifecycle

#if !Network
    #error("SCXGateway needs the trait 'Network'; without it, name a product: swift build --product scx")
#endif

/// The HTTP server: an OpenAI-compatible endpoint over an ``Answering``.
package struct GatewayServer: Sendable {
    /// Where it listens and whom it serves.
    package struct Options: Sendable {
        package var host = "127.0.0.1"
        /// The port to listen on; 0 for any free one.
        package var port = 8080
        package var keys = APIKeys.none
        /// Certificate chain and private key; nil for plain HTTP.
        package var tls: TLSKey?
        /// Whether other machines are served even without TLS or keys.
        package var isInsecure = false
        package var limits = ServerLimits()
        /// Whether it serves until SIGTERM or SIGINT; otherwise it serves until its task is cancelled.
        package var endsWithSignals = false

        package init() {}

        /// Whether only programs of this machine can connect.
        package var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }

        /// Why a server must not start with these options, because other machines could read or ask what they should not;
        /// nil when it may.
        package var problem: String? {
            guard !isLoopback, !isInsecure else { return nil }
            if tls == nil {
                return
                    "'--host \(host)' serves other machines: give '--https-cert' and '--https-key', '--attest', or '--insecure'"
            }
            return keys.isEmpty
                ? "'--host \(host)' serves other machines: give '--api-keys', or '--insecure'" : nil
        }
    }

    private let options: Options
    private let routes: RouteTable
    private let observer: ServerObserver

    /// - Parameters:
    ///   - options: Where it listens and whom it serves.
    ///   - routes: What it answers.
    ///   - observer: Hears what it does.
    package init(options: Options, routes: RouteTable, observer: ServerObserver) {
        (self.options, self.routes, self.observer) = (options, routes, observer)
    }

    /// Serves until SIGTERM or SIGINT, then lets running answers end; a second signal ends the process.
    ///
    /// - Parameter onRunning: Called with the port once it listens.
    /// - Throws: ``ServerError`` when it cannot listen or a certificate cannot be used.
    package func run(onRunning: @escaping @Sendable (Int) -> Void) async throws {
        let responder = GatewayResponder(
            table: routes, keys: options.keys, limits: options.limits, observer: observer)
        try await HTTPListener(options: options, logger: observer.logger).run(responder, onRunning: onRunning)
    }
}

/// The part of a server that does not depend on what it answers: it listens, and keeps clients within limits.
package struct HTTPListener: Sendable {
    private let options: GatewayServer.Options
    private let logger: Logger

    /// - Parameters:
    ///   - options: Where it listens and whom it serves; API keys are the responder's business.
    ///   - logger: Hears what is wrong with connections.
    package init(options: GatewayServer.Options, logger: Logger) {
        (self.options, self.logger) = (options, logger)
    }

    /// Descriptors for files, workers and connections that are about to close.
    private static let spareDescriptors = 256

    /// Serves until SIGTERM or SIGINT, then lets running answers end; a second signal ends the process.
    ///
    /// - Parameters:
    ///   - responder: Answers the requests.
    ///   - onRunning: Called with the port once it listens.
    /// - Throws: ``ServerError`` when it cannot listen or a certificate cannot be used.
    package func run<Responder: HTTPResponder>(
        _ responder: Responder, onRunning: @escaping @Sendable (Int) -> Void
    ) async throws where Responder.Context == GatewayContext {
        if let problem = options.problem { throw ServerError(problem) }
        let limits = options.limits
        let descriptors = Int(cscx_allow_descriptors(Int32(limits.connections + Self.spareDescriptors)))
        let connections =
            descriptors == 0
            ? limits.connections : max(1, min(limits.connections, descriptors - Self.spareDescriptors))
        let channel = HTTP1Channel.Configuration(
            additionalChannelHandlers: [ConnectionWatch()],
            idleTimeout: .nanoseconds(limits.clientTime.nanoseconds),
            httpDecoderConfiguration: .init(maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 64 << 10))
        let application = Application(
            responder: responder,
            server: try server(channel, connections: connections),
            configuration: ApplicationConfiguration(
                address: .hostname(options.host, port: options.port), serverName: "scx",
                // Some more than may stay: a new connection makes an idle one close.
                availableConnectionsDelegate: MaximumAvailableConnections(
                    connections + Self.spareDescriptors / 2)),
            onServerRunning: { channel in onRunning(channel.localAddress?.port ?? 0) },
            logger: quiet)
        var services = ServiceGroupConfiguration(
            services: [application], gracefulShutdownSignals: [], logger: quiet)
        services.maximumGracefulShutdownDuration = limits.drainTime
        let group = ServiceGroup(configuration: services)
        if options.endsWithSignals {
            EndingWatch.start(drain: limits.drainTime) { Task { await group.triggerGracefulShutdown() } }
        }
        do {
            try await group.run()
        } catch let error as IOError {
            let reason =
                error.errnoCode == EADDRINUSE
                ? "another program does; choose another port with '--port'"
                : "error \(error.errnoCode); is '--host' an address of this machine?"
            throw ServerError("cannot listen on \(options.host):\(options.port): \(reason)")
        }
    }

    /// What Hummingbird has to say only when something is wrong.
    private var quiet: Logger {
        var logger = logger
        logger.logLevel = max(.warning, logger.logLevel)
        return logger
    }

    private func server(
        _ channel: HTTP1Channel.Configuration, connections: Int
    ) throws(ServerError) -> HTTPServerBuilder {
        let limits = options.limits
        let register = ConnectionRegister(most: connections, mostOfAddress: limits.connectionsOfAddress)
        let patience = TimeAmount.nanoseconds(limits.headerTime.nanoseconds)
        guard let tls = options.tls else {
            return HTTPServerBuilder { responder in
                let http = HTTP1Channel(responder: responder, configuration: channel)
                return GuardedConnection(
                    base: WatchedConnection(base: http, limits: limits), register: register,
                    patience: patience)
            }
        }
        do {
            let (certificates, key) = try tls.pair()
            let chain = certificates.map { NIOSSLCertificateSource.certificate($0) }
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain, privateKey: .privateKey(key))
            configuration.minimumTLSVersion = .tlsv12
            _ = try NIOSSLContext(configuration: configuration)
            return HTTPServerBuilder { [configuration] responder in
                let http = HTTP1Channel(responder: responder, configuration: channel)
                return GuardedConnection(
                    base: try TLSChannel(
                        WatchedConnection(base: http, limits: limits), tlsConfiguration: configuration),
                    register: register, patience: patience)
            }
        } catch let error as ServerError {
            throw error
        } catch {
            throw ServerError("the certificate and the private key for HTTPS are no usable pair")
        }
    }
}

extension Duration {
    var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}

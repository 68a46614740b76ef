package import Logging
package import SCXGateway

/// The endpoint on the user's machine: an HTTP server whose answers come from an attested server.
package struct ProxyServer: Sendable {
    private let upstream: AttestedUpstream
    private let options: GatewayServer.Options
    private let interval: Int
    private let logger: Logger

    /// - Parameters:
    ///   - upstream: The attested server.
    ///   - options: Where the proxy listens; keys are not used.
    ///   - interval: Seconds between verifications, as the page says them.
    ///   - logger: Hears of requests, without their contents.
    package init(_ upstream: AttestedUpstream, options: GatewayServer.Options, interval: Int, logger: Logger)
    {
        (self.upstream, self.options, self.interval, self.logger) = (upstream, options, interval, logger)
    }

    /// Serves until SIGTERM or SIGINT, or until its task is cancelled.
    ///
    /// - Parameter onRunning: Called with the port once it listens.
    /// - Throws: ``ServerError`` when it cannot listen.
    package func run(onRunning: @escaping @Sendable (Int) -> Void) async throws {
        let responder = ProxyResponder(
            upstream: upstream, limits: options.limits, interval: interval, logger: logger)
        try await HTTPListener(options: options, logger: logger).run(responder, onRunning: onRunning)
    }
}

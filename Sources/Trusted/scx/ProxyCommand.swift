#if Network
    import ArgumentParser
    import Foundation
    import Logging
    import SCXAttestation
    import SCXGateway
    import SCXProxy

    struct ProxyCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "proxy",
            abstract: "Be an OpenAI endpoint on this machine that sends only to a server that is verified.",
            discussion: """
                Every connection to the server is verified before anything of a request is sent on it: by evidence for its \
                own key, in answer to a nonce of its own. The server is verified again on a schedule; where that fails, all \
                connections are closed, and requests are answered with the numbered checks that do not hold until a later \
                verification succeeds. '/' is a page and '/health' an object with the state; '/upstream/health' is the \
                server's. docs/attestation.md has the rest.
                """)

        @Option(help: "The server, as https://HOST or https://HOST:PORT.")
        var upstream: ServerAddress

        @Option(help: "Policy in JSON, as 'scx policy' makes it.")
        var policy: String

        @OptionGroup var files: EvidenceFiles

        @Option(help: "Address to listen on; others than of this machine need '--insecure'.")
        var host = "127.0.0.1"

        @Option(help: "Port to listen on; 0 takes a free one.")
        var port = 8080

        @Option(help: "Seconds between verifications.")
        var verifyEvery = 300

        @Option(help: "Requests that are sent at once; more wait.")
        var connections = 16

        @Flag(help: "Go on where the server is not accepted at the start, and ask it again.")
        var wait = false

        @Flag(help: "Serve other machines, without TLS.")
        var insecure = false

        @Option(help: "Least level that is logged: trace, debug, info, notice, warning, error.")
        var logLevel = ServeOptions.LogLevel(level: .notice)

        @Flag(help: "Log as JSON lines.")
        var logJson = false

        /// Seconds after which a server that is not accepted is asked again, at the most.
        private static let retry = 10

        func validate() throws {
            func check(_ holds: Bool, _ flag: String, _ value: Int, _ range: String) throws {
                guard holds else { throw ValidationError("'--\(flag) \(value)' is out of range: \(range).") }
            }
            try check((0...65_535).contains(port), "port", port, "0 to 65535")
            try check((1...86_400).contains(verifyEvery), "verify-every", verifyEvery, "1 to 86400")
            try check((1...1024).contains(connections), "connections", connections, "1 to 1024")
            guard listening.isLoopback || insecure else {
                throw ValidationError(
                    "'--host \(host)' serves other machines, which could ask in your name and be read on the way: give '--insecure'."
                )
            }
        }

        /// Where the proxy listens.
        private var listening: GatewayServer.Options {
            var options = GatewayServer.Options()
            options.host = host
            options.port = port
            options.isInsecure = insecure
            options.limits.hosts.append(host.lowercased())
            options.endsWithSignals = true
            return options
        }

        func run() async throws {
            let policy = try EvidenceFiles.policy(policy)
            let verifier = ServerVerifier(policy: policy, files: try files.files())
            let logger = Logger(label: "scx") { label in
                RedactedLog(label: label, level: logLevel.level, format: logJson ? .json : .text)
            }
            let upstream = AttestedUpstream(
                upstream.address, verifier: verifier, connections: connections, logger: logger)
            switch await upstream.verify() {
            case .accepted(let accepted):
                let report = AppraisalReport(
                    accepted.appraisal, policy: policy, at: accepted.checked, keyDigest: accepted.keyDigest)
                standardOutput(report.text + "\n")
            case .refused(let refused):
                standardError(
                    "\(upstream.address) is not accepted; nothing was sent to it but the question for evidence:\n"
                        + refused.lines.map { "  \($0)" }.joined(separator: "\n"))
                if !wait { throw ExitCode(1) }
            case .unverified: break
            }
            let (every, retry) = (verifyEvery, min(verifyEvery, Self.retry))
            let server = ProxyServer(upstream, options: listening, interval: every, logger: logger)
            let name = host.contains(":") ? "[\(host)]" : host
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await upstream.watch { trust in
                        try await Task.sleep(for: .seconds(trust.isAccepted ? every : retry))
                    }
                }
                group.addTask {
                    try await server.run { port in
                        standardOutput(
                            "scx proxy for \(upstream.address) at http://\(name):\(port) (OpenAI clients: http://\(name):\(port)/v1)\n"
                        )
                    }
                }
                try await group.next()
                group.cancelAll()
            }
        }
    }
#endif

#if Network
    import ArgumentParser
    import Foundation
    import Logging
    import SCXEncoding
    import SCXEngine
    import SCXGateway

    /// The options of `scx serve` besides those of the model.
    struct ServeOptions: ParsableArguments {
        @Option(help: "Address to listen on. Others than this machine need TLS and API keys.")
        var host = "127.0.0.1"

        @Option(help: "Port to listen on; 0 takes a free one.")
        var port = 8080

        @Option(
            help:
                "File with a name and an API key in each line, readable by its owner only. (default: no keys)"
        )
        var apiKeys: String?

        @Option(help: "Certificate chain for HTTPS, PEM.")
        var httpsCert: String?

        @Option(help: "The private key to it, PEM.")
        var httpsKey: String?

        @Option(
            help: ArgumentHelp(
                "A further name under which clients may ask for the model; may be given several times.",
                valueName: "name"))
        var servedModelName: [String] = []

        @Option(
            help: ArgumentHelp(
                "An origin, such as https://chat.example.org, whose pages may ask; '*' for all, with API keys. May be given several times.",
                valueName: "origin"))
        var allowOrigin: [String] = []

        @Flag(help: "Serve other machines without TLS or API keys; '/health' and the log say so.")
        var insecure = false

        @Option(help: "A further profile that requests may ask for by 'x-scx-profile' or the model's name.")
        var alsoProfile: ModelOptions.Profile?

        @Option(help: "Answers that are computed together.")
        var maxRunning = 64

        @Option(help: "Requests that may wait for that; more are refused with 503.")
        var maxWaiting = 256

        @Option(
            help: """
                Requests of one API key, running or waiting; more are refused with 429. (default: half of all; without API \
                keys, all)
                """)
        var maxPerKey: Int?

        @Option(help: "Finished conversations whose computed tokens are kept.")
        var maxKept = 64

        @Option(help: "Seconds that they are kept.")
        var idle = 600

        @Option(
            help:
                "Directory for conversations that are idle, sealed with AES-GCM. (default: they stay in memory)"
        )
        var sessionDir: String?

        @Option(
            help: "File of the sealing key; deleting it makes them unreadable. (default: in that directory)")
        var sessionKey: String?

        @Option(help: "Seconds after which an idle conversation goes there.")
        var sealAfter = 60

        @Option(help: "Seconds that running answers have to end after SIGTERM.")
        var drain = 60

        @Option(help: "YAML file with these options, by their names without dashes in front.")
        var config: String?

        @Option(help: "Least level that is logged: trace, debug, info, notice, warning, error.")
        var logLevel = LogLevel(level: .info)

        @Flag(help: "Log as JSON lines.")
        var logJson = false

        @Option(help: "File that spans are appended to, as JSON lines.")
        var trace: String?

        @Flag(help: "No page at '/', and no view of what the worker saw.")
        var noPage = false

        @OptionGroup var attest: AttestFlags

        struct LogLevel: ExpressibleByArgument {
            let level: Logger.Level

            init(level: Logger.Level) { self.level = level }

            init?(argument: String) {
                guard let level = Logger.Level(rawValue: argument) else { return nil }
                self.level = level
            }

            var defaultValueDescription: String { level.rawValue }
        }

        func validate() throws {
            func check(_ holds: Bool, _ flag: String, _ value: Int, _ range: String) throws {
                guard holds else { throw ValidationError("'--\(flag) \(value)' is out of range: \(range).") }
            }
            try check((0...65_535).contains(port), "port", port, "0 to 65535")
            try check((1...1024).contains(maxRunning), "max-running", maxRunning, "1 to 1024")
            try check((0...100_000).contains(maxWaiting), "max-waiting", maxWaiting, "0 to 100000")
            if let maxPerKey {
                try check((1...100_000).contains(maxPerKey), "max-per-key", maxPerKey, "1 to 100000")
            }
            try check((0...100_000).contains(maxKept), "max-kept", maxKept, "0 to 100000")
            try check((1...86_400).contains(idle), "idle", idle, "1 to 86400")
            try check((1...86_400).contains(sealAfter), "seal-after", sealAfter, "1 to 86400")
            try check((0...3_600).contains(drain), "drain", drain, "0 to 3600")
            guard httpsCert == nil || !attest.attest else {
                throw ValidationError(
                    "'--attest' makes a key of its own, which is in no file: leave '--https-cert' and '--https-key' out."
                )
            }
            guard (httpsCert == nil) == (httpsKey == nil) else {
                throw ValidationError("'--https-cert' and '--https-key' go together.")
            }
            for origin in allowOrigin where !ServerLimits.isOrigin(origin) {
                throw ValidationError(
                    "'--allow-origin \(origin)': must be a scheme and a host in small letters, such as https://chat.example.org."
                )
            }
            if allowOrigin.contains("*"), apiKeys == nil {
                throw ValidationError(
                    "'--allow-origin *' needs '--api-keys': any page that is open in a browser could ask.")
            }
            guard !servedModelName.contains("") else {
                throw ValidationError("'--served-model-name' must not be empty.")
            }
            if sessionKey != nil, sessionDir == nil {
                throw ValidationError("'--session-key' needs '--session-dir'.")
            }
        }

        /// The options of the HTTP server: its address, certificate, keys and limits.
        func server() throws -> GatewayServer.Options {
            var options = GatewayServer.Options()
            options.host = host
            options.port = port
            if let apiKeys { options.keys = try APIKeys(file: apiKeys) }
            if let httpsCert, let httpsKey { options.tls = .files(certificate: httpsCert, key: httpsKey) }
            options.isInsecure = insecure
            options.limits.drainTime = .seconds(drain)
            options.limits.hosts += [host.lowercased(), ProcessInfo.processInfo.hostName.lowercased()]
            options.limits.origins = allowOrigin
            options.endsWithSignals = true
            // The key is made when the model is there.
            var checked = options
            if attest.attest { checked.tls = .own(certificate: "", key: "") }
            if let problem = checked.problem { throw ValidationError("\(problem).") }
            return options
        }

        /// Opens the vault in which idle conversations are stored; nil without `--session-dir`.
        func vault() throws -> SessionVault? {
            try sessionDir.map { try SessionVault(directory: $0, keyFile: sessionKey) }
        }

        /// Opens the log of spans; nil if none is wanted.
        func spans() throws -> SpanLog? {
            guard let trace else { return nil }
            guard let spans = SpanLog(path: trace) else {
                throw ValidationError("'--trace \(trace)': cannot be written.")
            }
            return spans
        }

        var logger: Logger {
            Logger(label: "scx") { label in
                RedactedLog(label: label, level: logLevel.level, format: logJson ? .json : .text)
            }
        }

        var engine: EngineLoop.Limits {
            var limits = EngineLoop.Limits()
            limits.running = maxRunning
            limits.waiting = maxWaiting
            let all = maxRunning + maxWaiting
            limits.perKey = maxPerKey ?? (apiKeys == nil ? all : max(1, all / 2))
            limits.kept = maxKept
            limits.idle = .seconds(idle)
            if sessionDir != nil { limits.sealAfter = .seconds(sealAfter) }
            return limits
        }
    }
#endif

import ArgumentParser
import Foundation
import Logging
import SCXGateway
import SCXInference
import SCXLinkTLS
import SCXTrusted

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Answer OpenAI clients over HTTP.",
        discussion: """
            Any client of the OpenAI interface works by changing its base URL; the prompt and the answer stay on this \
            side. Every option can also be given in the environment ('--max-kept' is SCX_MAX_KEPT, '--scx-noise' is \
            SCX_NOISE) and in the file of '--config' (max-kept, noise); the command line wins, then the environment. \
            SIGTERM lets running answers end. docs/endpoint.md has the rest.
            """)

    @OptionGroup(title: "Model and worker") var options: ModelOptions
    @OptionGroup(title: "Server") var serve: ServeOptions

    func run() async throws {
        let server = try serve.server()
        let model = try OpenModel(options)
        let limits = serve.engine
        var profiles: [ServedProfile] = []
        for profile in [options.profile] + [serve.alsoProfile].compactMap({ $0 })
        where !profiles.contains(where: { $0.name == profile.rawValue }) {
            let forward = profiles.isEmpty ? model.forward : try model.forward(profile) { $0 }
            profiles.append(
                ServedProfile(
                    name: profile.rawValue, loop: EngineLoop(limits: limits) { model.makeEngine(forward) },
                    warning: profile.warning))
        }
        let served = ServedModel(
            name: model.name, tokenizer: model.tokenizer,
            chatFormat: try ChatFormat.load(directory: URL(filePath: model.checkpoint.directory)),
            stopTokens: model.stopTokens, configuration: model.configuration, profiles: profiles)
        var logger = Logger(label: "scx")
        logger.logLevel = serve.logLevel.level
        let gateway = GatewayServer(
            options: server,
            routes: RouteTable(answers: ModelAnswers(served), responses: ResponseStore(), facts: facts),
            observer: Silent(), logger: logger)
        try await gateway.run { port in greet(port, served) }
    }

    /// What `/health` says of how this server was started.
    private var facts: [JSON.Member] {
        [
            .init("worker", .string(options.worker.map(\.name) ?? "own process")),
            .init("insecure", .bool(serve.insecure)), .init("https", .bool(serve.httpsCert != nil)),
            .init("api_keys", .bool(serve.apiKeys != nil)),
        ]
    }

    /// Prints what a person needs to begin.
    private func greet(_ port: Int, _ model: ServedModel) {
        let host = serve.host.contains(":") ? "[\(serve.host)]" : serve.host
        let url = "\(serve.httpsCert == nil ? "http" : "https")://\(host):\(port)"
        let key = serve.apiKeys == nil ? "" : " -H 'Authorization: Bearer KEY'"
        let profile = model.profiles[0]
        var lines = [
            "scx serves \(model.name) at \(url)\(serve.noPage ? "" : " (a page for people is there, too)")",
            "",
            "  curl \(url)/v1/chat/completions\(key) -H 'Content-Type: application/json' \\",
            "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What are the symptoms of asthma?\"}]}'",
            "",
            "  python3 -c 'from openai import OpenAI; c = OpenAI(base_url=\"\(url)/v1\", api_key=\"\(serve.apiKeys == nil ? "none" : "KEY")\"); "
                + "print(c.chat.completions.create(model=\"\(model.name)\", messages=[{\"role\": \"user\", \"content\": \"Hello\"}]).choices[0].message.content)'",
            "",
            "  model    \(model.name), \(options.weights.rawValue), context \(model.configuration.maximumLength)",
            "  worker   \(options.worker.map(\.name) ?? "a process of its own on this machine")",
        ]
        for profile in model.profiles {
            lines.append("  profile  \(profile.name): \(profile.warning)")
        }
        if serve.insecure { lines.append("  INSECURE: other machines may connect without TLS or API keys") }
        _ = profile
        standardOutput(lines.joined(separator: "\n") + "\n")
    }
}

private struct Silent: ServerObserver {
    func requestEnded(route: String, method: String, status: Int, key: String, after duration: Duration) {}
}

extension ModelOptions.WorkerPlace {
    /// As on the command line.
    var name: String {
        switch self {
        case .inprocess: "in this process"
        case .unix(let path): "unix:\(path)"
        case .tcp(let address): "tcp://\(address.host):\(address.port)"
        }
    }
}

extension ModelOptions.Profile {
    /// What it does not protect, in one line.
    var warning: String {
        switch self {
        case .plain: "hides nothing: the worker's owner can read every prompt and answer"
        case .scx:
            "a worker that keeps and analyses what it receives can read prompts and answers (docs/security-results.md)"
        }
    }
}

import ArgumentParser
import Foundation
import Logging
import SCXGateway
import SCXInference
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
        _ = (server, served)
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

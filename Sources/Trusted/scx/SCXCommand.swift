import ArgumentParser
import CSCXSystem
import Foundation
import SCXArguments

@main
struct SCXCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scx",
        abstract: "Answers from a transformer whose worker need not be trusted.",
        discussion: """
            This program is the trusted side: it keeps text, tokens and sampling. Profile 'plain' hides nothing from the \
            worker and is the baseline of every measurement; docs/threat-model.md says what profile 'scx' hides.
            """,
        version: "0.1.0",
        subcommands: [
            ServeCommand.self, GenerateCommand.self, ChatCommand.self, TokenizeCommand.self,
            ModelsCommand.self, EmbedCommand.self, RerankCommand.self, ClassifyCommand.self,
            LogitsCommand.self,
            PerplexityCommand.self, KeysCommand.self, AttestationCommand.self, PolicyCommand.self,
            VerifyCommand.self, ProxyCommand.self, PadsCommand.self,
        ])

    static func main() async {
        // A core dump of this process would hold texts, keys and pads.
        cscx_forbid_dumps()
        // A write beyond the file size limit then fails with an error, as it does on a full disk, and does not end the
        // process.
        _ = signal(SIGXFSZ, SIG_IGN)
        var arguments = Array(CommandLine.arguments.dropFirst())
        do {
            #if Network
                if arguments.first == ServeCommand.configuration.commandName {
                    arguments =
                        ["serve"]
                        + (try await ServeArguments.filled(
                            Array(arguments.dropFirst()), environment: ProcessInfo.processInfo.environment))
                }
            #endif
            var command = try UnknownOption.parseAsRoot(arguments, of: Self.self)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            if let message = UnknownOption.message(of: error) {
                standardError(message)
                exit(withError: ExitCode.validationFailure)
            }
            let code = exitCode(for: error)
            guard !code.isSuccess else { exit(withError: error) }
            // Errors quote text from files, models and peers, which may hold control characters.
            let text = fullMessage(for: error)
            if !text.isEmpty { standardError(text) }
            exit(withError: code)
        }
    }
}

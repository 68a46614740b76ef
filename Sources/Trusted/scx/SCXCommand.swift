import ArgumentParser

@main
struct SCXCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scx",
        abstract: "Answers from a transformer whose worker need not be trusted.",
        discussion: """
            This program is the trusted side: it keeps text, tokens and sampling. Profile 'plain', the only one so \
            far, hides nothing from the worker; it runs in this process and is the baseline of every measurement.
            """,
        version: "0.1.0",
        subcommands: [
            GenerateCommand.self, ChatCommand.self, TokenizeCommand.self, ModelsCommand.self,
            LogitsCommand.self,
            PerplexityCommand.self, KeysCommand.self,
        ])
}

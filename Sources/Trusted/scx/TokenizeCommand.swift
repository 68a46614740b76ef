import ArgumentParser
import SCXInference
import SCXOptions
import SCXProfiles
import SCXText

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Show a text's tokens.")

    @Option(help: "Model directory with a tokenizer. (default: the bundled model)")
    var model: String?

    @Option(help: "The text.")
    var prompt: String?

    @Option(help: "A file with the text, '-' for standard input.")
    var promptFile: String?

    @Flag(help: "Print one JSON object: tokens, and the text that they decode to.")
    var json = false

    @Flag(help: "Leave out the tokens that the model wants around a text.")
    var noSpecialTokens = false

    func validate() throws {
        guard (prompt == nil) != (promptFile == nil) else {
            throw ValidationError("give the text by one of '--prompt' and '--prompt-file'.")
        }
    }

    func run() throws {
        let tokenizer = try Tokenizer(directory: model ?? BundledModel.directory())
        let text = try prompt ?? readText(promptFile ?? "-")
        let tokens = tokenizer.encode(text, addSpecialTokens: !noSpecialTokens)
        guard json else {
            for token in tokens { print("\(token)\t\(JSON.string(tokenizer.token(for: token) ?? "").text)") }
            return
        }
        let report: JSON = [
            "tokens": .array(tokens.map { .int(Int($0)) }),
            "pieces": .array(tokens.map { .string(tokenizer.token(for: $0) ?? "") }),
            "text": .string(tokenizer.decode(tokens)),
        ]
        print(report.text)
    }
}

import ArgumentParser
import SCXInference
import SCXOptions
import SCXProfiles
import SCXText

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Show a text's tokens.",
        discussion: "Needs a tokenizer and nothing else: no configuration and no weights.")

    @Option(
        name: [.customLong("model"), .customLong("tokenizer")],
        help: "A directory with a tokenizer.json, such a file, or a GGUF file. (default: the bundled model)")
    var model: String?

    @Option(help: "The text.")
    var prompt: String?

    @Option(help: "A file with the text, '-' for standard input.")
    var promptFile: String?

    @Flag(help: "Print one JSON object: tokens, and the text that they decode to.")
    var json = false

    @Flag(help: "Take every line of the file as a text in JSON ('\"…\"'), and print a line for each.")
    var lines = false

    @Flag(help: "Leave out the tokens that the model wants around a text.")
    var noSpecialTokens = false

    func validate() throws {
        guard (prompt == nil) != (promptFile == nil) else {
            throw ValidationError("give the text by one of '--prompt' and '--prompt-file'.")
        }
        guard !lines || (json && promptFile != nil) else {
            throw ValidationError("'--lines' goes with '--json' and '--prompt-file'.")
        }
    }

    func run() throws {
        let tokenizer = try Tokenizer(path: model ?? BundledModel.directory())
        let text = try prompt ?? readText(promptFile ?? "-")
        if lines {
            for (number, line) in text.split(separator: "\n").enumerated() {
                guard let text = try? JSON(parsing: String(line)).string else {
                    throw ValidationError("line \(number + 1) of the file is no text in JSON.")
                }
                print(report(of: text, tokenizer).text)
            }
        } else if json {
            print(report(of: text, tokenizer).text)
        } else {
            for token in tokens(of: text, tokenizer) {
                print("\(token)\t\(JSON.string(tokenizer.token(for: token) ?? "").text)")
            }
        }
    }

    private func tokens(of text: String, _ tokenizer: Tokenizer) -> [Int32] {
        tokenizer.encode(text, addSpecialTokens: !noSpecialTokens)
    }

    private func report(of text: String, _ tokenizer: Tokenizer) -> JSON {
        let tokens = tokens(of: text, tokenizer)
        return [
            "tokens": .array(tokens.map { .int(Int($0)) }),
            "pieces": .array(tokens.map { .string(tokenizer.token(for: $0) ?? "") }),
            "text": .string(tokenizer.decode(tokens)),
        ]
    }
}

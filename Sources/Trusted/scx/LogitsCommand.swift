import ArgumentParser
import SCX
import SCXEngine
import SCXInference
import SCXLink

struct LogitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logits", abstract: "Write the logits after each token of a prompt.",
        discussion: "The file has one tensor 'logits', float32, [tokens, vocabulary].")

    @OptionGroup var options: ModelOptions
    @OptionGroup var prompt: PromptOptions

    @Option(help: "The safetensors file to write.")
    var out: String

    func run() throws {
        let model = try OpenModel(options)
        let tokens = try prompt.tokens(model)
        let logits = try model.makeEngine().logits(of: tokens)
        let vocabulary = model.configuration.vocabularySize
        try SafeTensorsWriter.write(logits.span, name: "logits", shape: [tokens.count, vocabulary], to: out)
        standardError("Wrote logits [\(tokens.count), \(vocabulary)] to \(out).")
    }
}

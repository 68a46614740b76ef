import ArgumentParser
import Foundation
import SCXEngine
import SCXInference
import SCXText

struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "Look at models.",
        subcommands: [Check.self, Profile.self, Sites.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check", abstract: "Read a model and say whether it can be served.")

        @Argument(help: "Model directory as Hugging Face has it, or a GGUF file.")
        var directory: String

        func run() throws {
            let checkpoint = try Checkpoint(directory: directory)
            let configuration = checkpoint.configuration
            try checkpoint.validate()
            print("model      \(configuration.family.rawValue), \(configuration.blockCount) blocks")
            print("hidden     \(configuration.hiddenSize), feed-forward \(configuration.feedForwardSize)")
            if let experts = configuration.experts {
                print(
                    "experts    \(experts.count) of \(experts.feedForwardSize) in \(experts.blocks.count { $0 }) blocks, "
                        + "\(experts.perToken) for a token")
            }
            print(
                "attention  \(configuration.headCount) heads, \(configuration.keyValueHeadCount) for keys and values, "
                    + "head size \(configuration.headSize)")
            if let vision = configuration.vision {
                print(
                    "pictures   \(vision.imageSize) x \(vision.imageSize), \(vision.rows) rows in "
                        + "\(vision.encoder.blockCount) blocks of \(vision.encoder.hiddenSize) channels, "
                        + (vision.tokensPerPicture > 0
                            ? "\(vision.tokensPerPicture) tokens each" : "one vector each"))
            }
            if configuration.vocabularySize > 0 {
                print("vocabulary \(configuration.vocabularySize), context \(configuration.maximumLength)")
            } else {
                print("texts      none: the model takes pictures alone")
            }
            let modules = try SentenceModules(checkpoint)
            if !configuration.hasHead { print("generates  no: it has no output head") }
            if configuration.vocabularySize > 0, !configuration.hasHead || modules.isDeclared {
                print(
                    "embeds     \(modules.vectorSize) channels, pooled by "
                        + modules.pooling.map(\.rawValue).joined(separator: " and "))
            }
            if let head = configuration.sequenceHead { print("scores     \(head.labels) label(s)") }
            for option in checkpoint.options {
                print(
                    "option     \(option.name.printable()): \(option.isHonoured ? "honoured" : "changes no result")"
                )
            }
            print("digest     \(checkpoint.digest())")
            for name in checkpoint.unexpectedTensors() { print("not used   \(name)") }
            if let tokenizer = try Tokenizer(ifPresentIn: directory) {
                print("tokenizer  \(tokenizer.vocabularySize) entries")
                if configuration.vocabularySize > 0,
                    tokenizer.vocabularySize > configuration.vocabularySize
                {
                    throw CheckFailure(
                        "\(directory)/tokenizer.json has \(tokenizer.vocabularySize) entries, the model only "
                            + "\(configuration.vocabularySize)")
                }
            } else {
                print("tokenizer  none: only '--prompt-ids' can be served")
            }
            do throws(TemplateError) {
                let format = try ChatFormat.load(directory: URL(filePath: directory))
                print("template   \(format.map(ModelsCommand.description) ?? "none")")
            } catch {
                print("template   cannot be used, so that only completions are served: \(error)")
            }
            print("ok")
        }
    }

    /// Describes what the chat template supports: tools, and thinking.
    private static func description(_ format: ChatFormat) -> String {
        let tools =
            format.templateKnowsTools
            ? "calls of functions as '\(format.toolCallFormat.rawValue)'" : "no tools"
        return "yes, \(tools), \(format.reasoning == nil ? "no thinking" : "thinking")"
    }

    /// Says why a model cannot be served although each of its files can be read.
    struct CheckFailure: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }
}

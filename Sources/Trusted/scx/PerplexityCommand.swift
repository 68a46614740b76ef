import ArgumentParser
import SCX
import SCXEngine
import SCXInference
import SCXText

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct PerplexityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity", abstract: "Measure how well a model predicts a text.",
        discussion: """
            The text is cut into windows of '--context' tokens that do not overlap; every token of a window but its \
            first is predicted from those before it. Perplexity is exp of the mean negative log-likelihood.
            """)

    @OptionGroup var options: ModelOptions

    @Option(help: "The text file, '-' for standard input.")
    var text: String

    @Option(help: "Tokens of a window.")
    var context = 512

    @Option(help: "Take only this many tokens from the text's beginning.")
    var limitTokens: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard context >= 2 else { throw ValidationError("'--context \(context)' is less than 2.") }
        if let limitTokens, limitTokens < 2 {
            throw ValidationError("'--limit-tokens \(limitTokens)' is less than 2.")
        }
    }

    func run() throws {
        let model = try OpenModel(options)
        var tokens = try model.requireTokenizer().encode(readText(text), addSpecialTokens: false)
        if let limitTokens { tokens = Array(tokens.prefix(limitTokens)) }
        guard tokens.count >= 2 else { throw ValidationError("'\(text)' has fewer than two tokens.") }
        let window = min(context, model.configuration.maximumLength)
        let engine = model.makeEngine()
        let clock = ContinuousClock()
        let start = clock.now
        var progress = ProgressLine("perplexity")
        var total = 0.0
        var predicted = 0
        for first in stride(from: 0, to: tokens.count, by: window) {
            let part = Array(tokens[first..<min(first + window, tokens.count)])
            guard part.count >= 2 else { break }
            let likelihoods = try engine.logLikelihoods(of: part)
            total -= likelihoods.reduce(0, +)
            predicted += likelihoods.count
            progress.show(Double(first + part.count) / Double(tokens.count))
        }
        progress.finish()
        let mean = total / Double(predicted)
        let seconds = (clock.now - start).seconds
        guard json else {
            let rate = Int(Double(tokens.count) / seconds)
            return print("perplexity \(exp(mean)) over \(predicted) tokens (\(rate) tokens/s)")
        }
        let report: JSON = [
            "model": .string(model.name), "profile": .string(options.profile.rawValue),
            "weights": .string(options.weights.rawValue), "context": .int(window),
            "predicted_tokens": .int(predicted), "perplexity": .double(exp(mean)),
            "mean_nll": .double(mean), "seconds": .double(seconds),
        ]
        print(report.text)
    }
}

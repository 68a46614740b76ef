import ArgumentParser
import Foundation
import SCXInference
import SCXOptions
import SCXText

struct AgreementCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agreement",
        abstract: "Count how often profiles choose the same next token, each after the same tokens.",
        discussion: """
            The text is cut into windows of '--context' tokens that do not overlap. At every position of a window each \
            profile computes the next token's logits from the window's tokens before it, and its likeliest token is \
            compared with that of the first profile, the reference. 'gap' is, among the positions that differ, the largest \
            distance of the two tokens' log-probabilities in the reference; 'error' the length of the difference of all \
            logits over the length of the reference's.
            """)

    @OptionGroup var loaded: ModelFlags

    @Option(help: "A text file.")
    var text: String

    @Option(help: "Positions: so many tokens from the text's beginning.")
    var tokens = 5_000

    @Option(help: "Tokens of a window.")
    var context = 512

    @Option(
        help:
            "Ways to compute, separated by commas: plain:FORMAT, fixed-point, sealed. The first is the reference."
    )
    var profiles = "plain:bf16,fixed-point,plain:int8"

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard tokens >= 2, context >= 2 else {
            throw ValidationError("'--tokens' and '--context' are at least 2.")
        }
        guard ways != nil else {
            throw ValidationError(
                "'--profiles \(profiles)' is not a list of plain:FORMAT, fixed-point and sealed."
            )
        }
    }

    private var ways: [Agreement.Way]? {
        let ways = profiles.split(separator: ",").map { Agreement.Way(String($0)) }
        return ways.isEmpty || ways.contains(nil) ? nil : ways.compactMap { $0 }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        let content = try String(contentsOfFile: text, encoding: .utf8)
        let all = try Tokenizer(directory: checkpoint.directory).encode(content, addSpecialTokens: false)
        guard all.count >= tokens else {
            throw ValidationError("'\(text)' has \(all.count) tokens, fewer than '--tokens \(tokens)'.")
        }
        let window = min(context, checkpoint.configuration.maximumLength)
        let windows = stride(from: 0, to: tokens, by: window).map {
            Array(all[$0..<min($0 + window, tokens)])
        }
        let agreement = try Agreement(
            checkpoint, ways: ways ?? [], pool: loaded.pool)
        var line = ProgressLine("agreement")
        let results = try agreement.measure(windows) { line.show($0) }
        line.finish()
        guard json else {
            print("\(tokens) positions of \(text), windows of \(window)")
            for result in results {
                let figures = String(
                    format: "same %.2f %% (%d differ, gap %.3g), divergence %.3g, error %.3g, "
                        + "perplexity %.5g",
                    100 * result.agreement, result.positions - result.same, result.widestGap,
                    result.meanDivergence, result.error, result.perplexity)
                print("\(result.name): \(figures)")
            }
            return
        }
        let report: JSON = [
            "model": .string(checkpoint.directory), "text": .string(text), "context": .int(window),
            "profiles": .array(
                results.map { result in
                    [
                        "name": .string(result.name), "positions": .int(result.positions),
                        "same": .int(result.same), "widest_gap": .double(result.widestGap),
                        "divergence": .double(result.meanDivergence), "error": .double(result.error),
                        "perplexity": .double(result.perplexity),
                    ]
                }),
        ]
        print(report.text)
    }
}

import ArgumentParser
import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXOptions
import SCXProfiles
import SCXText
import SCXWorker

struct RepeatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repeat",
        abstract: "Count how often profile scx answers the same request differently.",
        discussion: """
            Prompts are taken from a text. Each is answered alone, then again by a new worker, then together with all \
            others, half of them greedily and half sampled with a seed of their own. An answer is compared with the first \
            one up to the first token that differs, since all after it follow another text; so a token that is drawn \
            differently counts once. 'bits' is how many log-probabilities are not the same number, 'largest' the largest \
            difference of two.
            """)

    @OptionGroup var loaded: WeightsFlags

    @Option(help: "A text file.")
    var text: String

    @Option(help: "Prompts.")
    var prompts = 32

    @Option(help: "Tokens of a prompt, at most; they are of different lengths.")
    var length = 100

    @Option(help: "Tokens of an answer.")
    var tokens = 64

    @Option(help: "How often each prompt is answered alone and together, after the first time.")
    var repeats = 2

    @Option(help: "The profile: scx or plain.")
    var profile = "scx"

    func validate() throws {
        guard prompts > 0, length > 1, tokens > 0, repeats > 0 else {
            throw ValidationError("'--prompts', '--length', '--tokens' and '--repeats' are positive numbers.")
        }
        guard ["scx", "plain"].contains(profile) else {
            throw ValidationError("'--profile \(profile)' is neither scx nor plain.")
        }
    }

    private struct Answer {
        var tokens: [Int32] = []
        var likelihoods: [Float] = []
    }

    private struct Difference {
        var compared = 0
        var drawn = 0
        var bits = 0
        var largest: Float = 0

        mutating func add(_ first: Answer, _ other: Answer) {
            for i in first.tokens.indices {
                compared += 1
                guard i < other.tokens.count, first.tokens[i] == other.tokens[i] else {
                    drawn += 1
                    return
                }
                if first.likelihoods[i] != other.likelihoods[i] { bits += 1 }
                largest = max(largest, abs(first.likelihoods[i] - other.likelihoods[i]))
            }
        }

        func line(_ name: String) -> String {
            String(
                format: "%@ %9d tokens, %4d drawn differently, %9d other bits, largest %.2g",
                name.padding(toLength: 10, withPad: " ", startingAt: 0), compared, drawn, bits, largest)
        }
    }

    func run() throws {
        let checkpoint = try loaded.checkpoint()
        let content = try String(contentsOfFile: text, encoding: .utf8)
        let all = try Tokenizer(directory: checkpoint.directory).encode(content, addSpecialTokens: false)
        guard all.count > prompts + length else {
            throw ValidationError("'\(text)' has \(all.count) tokens, too few for the prompts.")
        }
        let pool = loaded.pool
        let profile = try ModelProfile.cached(
            checkpoint, encode: nil, pool: pool, progress: ProgressLine("profiling")
        ) { standardError("warning: \($0)") }
        let decoder = try Decoder(checkpoint, format: loaded.weights, pool: pool)
        let requests = (0..<prompts).map { number in
            let start = number * (all.count - length) / prompts
            let count = 2 + number * 37 % (length - 1)
            var sampling = SamplingParameters()
            sampling.temperature = number % 2 == 0 ? 0 : 1
            sampling.seed = UInt64(number)
            return GenerationRequest(
                prompt: Array(all[start..<start + count]), maximumTokens: tokens, sampling: sampling)
        }
        func engine() throws -> Engine {
            let link = InProcessLink(Worker(model: decoder))
            let embedding = try TokenEmbedding(checkpoint)
            let forward: any ForwardPass
            if self.profile == "plain" {
                forward = PlainForwardPass(
                    embedding: embedding, configuration: checkpoint.configuration, link: link)
            } else {
                forward = try ScxForwardPass(
                    embedding: embedding, layers: decoder, profile: profile, options: ScxOptions(), link: link
                )
            }
            return Engine(
                forward: forward, tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
                maximumLength: checkpoint.configuration.maximumLength)
        }
        let first = try answers(engine(), requests, together: false)
        for together in [false, true] {
            var difference = Difference()
            for _ in 0..<repeats {
                for (a, b) in zip(first, try answers(engine(), requests, together: together)) {
                    difference.add(a, b)
                }
            }
            print(difference.line(together ? "together" : "alone"))
        }
    }

    private func answers(
        _ engine: Engine, _ requests: [GenerationRequest], together: Bool
    ) throws -> [Answer] {
        var answers = Array(repeating: Answer(), count: requests.count)
        for group in together ? [Array(requests.indices)] : requests.indices.map({ [$0] }) {
            let ids = try group.map { try engine.submit(requests[$0]) }
            while !engine.isIdle {
                for event in try engine.step() {
                    if let failure = event.failure { throw failure }
                    guard let token = event.token, let place = ids.firstIndex(of: event.session) else {
                        continue
                    }
                    answers[group[place]].tokens.append(token.id)
                    answers[group[place]].likelihoods.append(token.logprob)
                }
            }
            for id in ids { try engine.end(id) }
        }
        return answers
    }
}

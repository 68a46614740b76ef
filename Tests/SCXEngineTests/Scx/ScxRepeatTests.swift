import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// Every engine here draws its own noise, orders and redundant rows, and has a worker of its own.
@Suite("profile scx answers a request the same, whatever keys are drawn")
struct ScxRepeatTests {
    /// Tokens, and the bits of their log-probabilities.
    private struct Answer: Equatable {
        var tokens: [Int32] = []
        var likelihoods: [UInt32] = []
    }

    private static let answerLength = isOptimized ? 24 : 4

    private static func requests(_ model: ScxFixture, _ lengths: [Int]) -> [GenerationRequest] {
        lengths.enumerated().map { index, length in
            var sampling = SamplingParameters()
            sampling.temperature = index % 2 == 0 ? 0 : 1
            sampling.seed = UInt64(index)
            return GenerationRequest(
                prompt: model.prompt(length, seed: index), maximumTokens: answerLength, sampling: sampling)
        }
    }

    /// Answers requests that are all there at once.
    private static func answers(_ engine: Engine, _ requests: [GenerationRequest]) throws -> [Answer] {
        var answers = Array(repeating: Answer(), count: requests.count)
        let ids = try requests.map { try engine.submit($0) }
        while !engine.isIdle {
            for event in try engine.step() {
                if let failure = event.failure { throw failure }
                guard let token = event.token, let place = ids.firstIndex(of: event.session) else { continue }
                answers[place].tokens.append(token.id)
                answers[place].likelihoods.append(token.logprob.bitPattern)
            }
        }
        for id in ids { try engine.end(id) }
        return answers
    }

    private static func check(
        _ model: ScxFixture, _ options: ScxOptions, lengths: [Int] = [1, 5, 23, 40, 12, 70], draws: Int = 3
    ) throws {
        let requests = requests(model, lengths)
        let first = try requests.map { try answers(model.scx(options), [$0])[0] }
        #expect(first.allSatisfy { $0.tokens.count == answerLength })
        for _ in 0..<draws {
            let engine = try model.scx(options)
            for (request, expected) in zip(requests, first) {
                #expect(try answers(engine, [request])[0] == expected, "alone, after a restart")
            }
            #expect(try answers(engine, requests) == first, "together")
            // Other requests come first, and more of them.
            let others = Self.requests(model, [9, 33, 2, 18, 27]) + requests
            let among = try answers(model.scx(options), others).suffix(requests.count)
            #expect(Array(among) == first, "among others")
        }
    }

    @Test("of the bundled model in bfloat16", arguments: ScxOptions.Reuse.allCases)
    func bundled(reuse: ScxOptions.Reuse) throws {
        let model = try ScxFixture(directory: LeakTests.bundled, weights: .bf16)
        try Self.check(model, ScxEquivalenceTests.options(1, 1, .auto, reuse))
        try Self.check(model, ScxEquivalenceTests.options(2, 2, .ratio(0.5), reuse), draws: 1)
    }

    @Test(
        "of every family and format, with products of more than one block of inputs",
        arguments: ScxEquivalenceTests.families, [WeightFormat.f32, .bf16, .int8])
    func families(family: String, format: WeightFormat) throws {
        var configuration = try #require(ScxFixture.families[family]).checkpoint.configuration
        configuration.blockCount = 3
        configuration.slidingWindows = Array(configuration.slidingWindows.prefix(3))
        // Blocks of inputs have 256 to 1,024, and the bundled model's products fit one.
        configuration.feedForwardSize = 1_096
        let model = try ScxFixture(configuration, weights: format)
        try Self.check(model, ScxEquivalenceTests.options(), draws: 1)
    }

    @Test("with little noise or none")
    func littleNoise() throws {
        let configuration = try #require(ScxFixture.families["qwen2"]).checkpoint.configuration
        let model = try ScxFixture(configuration, weights: .bf16)
        var options = ScxEquivalenceTests.options()
        for scale: Float in [0, 1e-4] {
            options.noiseScale = scale
            try Self.check(model, options, lengths: [3, 17], draws: 1)
        }
    }

    @Test("whose first token is drawn from a large vocabulary, of which only the largest logits travel")
    func vocabulary() throws {
        var configuration = try #require(ScxFixture.families["llama"]).checkpoint.configuration
        configuration.vocabularySize = 40_000
        configuration.blockCount = 2
        configuration.slidingWindows = Array(configuration.slidingWindows.prefix(2))
        let model = try ScxFixture(configuration, weights: .bf16)
        try Self.check(model, ScxEquivalenceTests.options(), draws: 1)
    }

    @Test("that continues a conversation")
    func conversation() throws {
        let model = try ScxFixture(directory: LeakTests.bundled, weights: .bf16)
        func turns() throws -> [Answer] {
            let engine = try model.scx(ScxEquivalenceTests.options(1, 2))
            var history: [Int32] = []
            var session: SessionID?
            var answers: [Answer] = []
            for turn in 0..<3 {
                history += model.prompt([12, 1, 30][turn], seed: turn + 2)
                let id = try engine.submit(greedy(history, 6), continuing: session)
                session = id
                var answer = Answer()
                try engine.run(id) {
                    guard let token = $0.token else { return true }
                    answer.tokens.append(token.id)
                    answer.likelihoods.append(token.logprob.bitPattern)
                    return true
                }
                history += answer.tokens
                answers.append(answer)
            }
            return answers
        }
        let first = try turns()
        for _ in 0..<3 { #expect(try turns() == first) }
    }
}

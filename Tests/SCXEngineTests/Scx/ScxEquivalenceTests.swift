import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import SCXWorker
import Testing

/// Debug builds with a sanitizer are forty times slower, and see the same memory in fewer cases.
#if DEBUG
    let isOptimized = false
#else
    let isOptimized = true
#endif

/// How many tokens an answer has.
private let answerLength = isOptimized ? 256 : 12

@Suite("profile scx computes what plain computes")
struct ScxEquivalenceTests {
    static let families = ["llama", "mistral", "qwen2", "qwen3"]
    static let policies: [ScxOptions.Redundancy] =
        isOptimized ? [.auto, .none, .ratio(0.5), .fixed(7)] : [.ratio(0.5)]

    static func options(
        _ first: Int = 1, _ last: Int = 1, _ redundancy: ScxOptions.Redundancy = .auto,
        _ reuse: ScxOptions.Reuse = .oneTime
    ) -> ScxOptions {
        var options = ScxOptions()
        options.firstBlocks = first
        options.lastBlocks = last
        options.redundancy = redundancy
        options.reuse = reuse
        return options
    }

    static func check(_ model: ScxFixture, _ options: ScxOptions, prompt: [Int32], generate: Int) throws {
        let expected = try model.plain().logits(of: prompt)
        let found = try model.scx(options).logits(of: prompt)
        let error = relativeError(expected, found)
        #expect(error <= 1e-3, "logits of \(prompt.count) tokens differ by \(error)")
        let tokens = try answer(model.plain(), greedy(prompt, generate))
        #expect(try answer(model.scx(options), greedy(prompt, generate)) == tokens)
    }

    @Test(
        "for every family, protected blocks, redundancy and reuse", arguments: families,
        ScxOptions.Reuse.allCases)
    func options(family: String, reuse: ScxOptions.Reuse) throws {
        let model = try #require(ScxFixture.families[family])
        for (first, last) in isOptimized ? [(1, 1), (1, 2), (2, 1), (2, 2)] : [(1, 1), (2, 2)] {
            for policy in Self.policies {
                try Self.check(
                    model, Self.options(first, last, policy, reuse), prompt: model.prompt(17),
                    generate: answerLength)
            }
        }
    }

    @Test(
        "for prompts of one token to two thousand", arguments: families,
        isOptimized ? [1, 2, 17, 300, 2_000] : [1, 2, 70])
    func lengths(family: String, length: Int) throws {
        let model = try #require(ScxFixture.families[family])
        try Self.check(model, Self.options(), prompt: model.prompt(length), generate: answerLength)
    }

    @Test("when every block is protected", arguments: families)
    func noMiddle(family: String) throws {
        let model = try #require(ScxFixture.families[family])
        try Self.check(model, Self.options(3, 2), prompt: model.prompt(9), generate: answerLength)
        try Self.check(model, Self.options(1, 4, .none, .session), prompt: model.prompt(9), generate: 8)
    }

    @Test("over five turns of a conversation, of which later ones see the earlier", arguments: families)
    func conversation(family: String) throws {
        let model = try #require(ScxFixture.families[family])
        for reuse in ScxOptions.Reuse.allCases {
            let link = CapturingLink(InProcessLink(Worker(model: model.decoder)))
            let engine = try model.scx(Self.options(2, 2, .fixed(5), reuse), link)
            var history: [Int32] = []
            var session: SessionID?
            for turn in 0..<5 {
                history += model.prompt([12, 1, 30, 2, 5][turn], seed: turn + 2)
                let before = link.exchanges.count
                let id = try engine.submit(greedy(history, 6), continuing: session)
                session = id
                var tokens: [Int32] = []
                try engine.run(id) {
                    tokens.append($0.token?.id ?? -1)
                    return true
                }
                #expect(tokens == (try answer(model.plain(), greedy(history, 6))), "turn \(turn), \(reuse)")
                history += tokens
                // Only the first turn goes through all blocks by itself.
                let prefill = link.exchanges[before...].filter {
                    if case .linear(let layer, .output, _, _) = $0.request.operation {
                        layer == 2
                    } else {
                        false
                    }
                }
                #expect(prefill.count == (turn == 0 ? 1 : 0))
            }
            // A question asked again in other words goes back to where both are alike.
            let other = Array(history.prefix(20)) + model.prompt(7, seed: 99)
            let id = try engine.submit(greedy(other, 6), continuing: session)
            var tokens: [Int32] = []
            try engine.run(id) {
                tokens.append($0.token?.id ?? -1)
                return true
            }
            #expect(tokens == (try answer(model.plain(), greedy(other, 6))))
        }
    }

    @Test("for sessions at once", arguments: ScxOptions.Reuse.allCases)
    func sessions(reuse: ScxOptions.Reuse) throws {
        let model = try #require(ScxFixture.families["llama"])
        let engine = try model.scx(Self.options(1, 2, .fixed(3), reuse))
        let prompts = (0..<5).map { model.prompt(3 + 7 * $0, seed: $0) }
        var answers: [SessionID: [Int32]] = [:]
        let ids = try prompts.map { try engine.submit(greedy($0, 9)) }
        while !engine.isIdle {
            for event in try engine.step() {
                answers[event.session, default: []].append(event.token?.id ?? -1)
            }
        }
        for (id, prompt) in zip(ids, prompts) {
            #expect(answers[id] == (try answer(model.plain(), greedy(prompt, 9))))
        }
    }

    @Test(
        "for sessions of different lengths, whose tokens take no more exchanges than one session's",
        arguments: [1, 4, 16], ScxOptions.Reuse.allCases)
    func together(count: Int, reuse: ScxOptions.Reuse) throws {
        let model = try #require(ScxFixture.families["qwen3"])
        for (first, last, precision) in [(1, 1, .float32), (2, 2, .float32), (1, 2, .int8)]
            as [(Int, Int, TensorPrecision)]
        {
            var options = Self.options(first, last, .fixed(3), reuse)
            options.compression = precision
            let engine = try model.scx(options)
            let prompts = (0..<count).map { model.prompt(1 + 3 * $0, seed: $0) }
            let ids = try prompts.map { try engine.submit(greedy($0, 7)) }
            var answers: [SessionID: [Int32]] = [:]
            var exchanges: [Int] = []
            while !engine.isIdle {
                let before = engine.traffic.exchanges
                for event in try engine.step() {
                    answers[event.session, default: []].append(event.token?.id ?? -1)
                }
                exchanges.append(engine.traffic.exchanges - before)
            }
            // After the prompts and the first token, which shares the keys.
            let later = Array(exchanges.dropFirst(2))
            let expected = [Int](repeating: 3 * first + 1 + 2 * last, count: 5)
            #expect(later == expected)
            for (id, prompt) in zip(ids, prompts) where precision == .float32 {
                #expect(answers[id] == (try answer(model.plain(), greedy(prompt, 7))))
            }
        }
    }

    @Test("for random shapes, options, prompts and noise", arguments: 0..<12)
    func random(seed: UInt64) throws {
        var random = RandomBits(seed: seed)
        let base = try #require(
            SyntheticShape.all.filter { $0.name.hasPrefix("tiny-") }.randomElement(using: &random))
        var configuration = base.configuration
        configuration.keyValueHeadCount = [1, 2, 3].randomElement(using: &random) ?? 1
        configuration.headCount = configuration.keyValueHeadCount * Int.random(in: 1...3, using: &random)
        // Families without a head size of their own divide the hidden size.
        let size = 8 * Int.random(in: 1...4, using: &random)
        configuration.headSize = size
        configuration.rope = RopeParameters(base: 10_000, rotaryDimension: size)
        configuration.hiddenSize = configuration.headCount * size
        configuration.feedForwardSize = 8 * Int.random(in: 1...20, using: &random)
        configuration.blockCount = Int.random(in: 2...6, using: &random)
        configuration.vocabularySize = Int.random(in: 300...700, using: &random)
        let window = configuration.family == .mistral ? Int.random(in: 4...40, using: &random) : nil
        configuration.slidingWindows = Array(repeating: window, count: configuration.blockCount)
        let model = try ScxFixture(configuration, seed: seed)
        var options = ScxOptions()
        options.firstBlocks = Int.random(in: 1..<configuration.blockCount, using: &random)
        options.lastBlocks = Int.random(
            in: 1...configuration.blockCount - options.firstBlocks, using: &random)
        options.redundancy = .fixed(Int.random(in: 0...20, using: &random))
        options.noiseScale = Float.random(in: 0...10, using: &random)
        options.reuse = Bool.random(using: &random) ? .session : .oneTime
        let prompt = model.prompt(Int.random(in: 1...60, using: &random), seed: Int(seed))
        try Self.check(model, options, prompt: prompt, generate: 20)
    }

    @Test("with weights of the bundled model in bfloat16")
    func bundled() throws {
        let model = try ScxFixture(directory: LeakTests.bundled, weights: .bf16)
        let tokenizer = try Tokenizer(directory: LeakTests.bundled)
        let prompt = tokenizer.encode(LeakTests.prompt)
        let error = relativeError(
            try model.plain().logits(of: prompt), try model.scx(ScxOptions()).logits(of: prompt))
        // Processors with BF16 instructions round activations to 8 bits as well, each run's noise otherwise.
        #expect(error <= 2e-2)
        let tokens = try answer(model.plain(), greedy(prompt, answerLength))
        #expect(try answer(model.scx(ScxOptions()), greedy(prompt, answerLength)) == tokens)
    }

    @Test("nearly, when keys and values are rounded", arguments: [TensorPrecision.int8, .int4])
    func compressed(precision: TensorPrecision) throws {
        let model = try #require(ScxFixture.families["llama"])
        var options = ScxOptions()
        options.compression = precision
        let prompt = model.prompt(64)
        func bytes(_ options: ScxOptions) throws -> (sent: Int, likelihoods: [Float]) {
            let engine = try model.scx(options)
            var likelihoods: [Float] = []
            let id = try engine.submit(greedy(prompt, 12))
            var before = 0
            try engine.run(id) {
                if likelihoods.isEmpty { before = engine.traffic.bytesSent }
                likelihoods.append($0.token?.logprob ?? 0)
                return true
            }
            return (engine.traffic.bytesSent - before, likelihoods)
        }
        let exact = try bytes(ScxOptions())
        let rounded = try bytes(options)
        #expect(rounded.sent < exact.sent)
        let limit: Float = precision == .int8 ? 0.02 : 0.3
        #expect(zip(exact.likelihoods, rounded.likelihoods).allSatisfy { abs($0 - $1) <= limit })
    }
}

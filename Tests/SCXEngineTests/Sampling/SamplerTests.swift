import Foundation
import SCXEngine
import SCXText
import Testing

@Suite("sampling")
struct SamplerTests {
    static func parameters(_ change: (inout SamplingParameters) -> Void) -> SamplingParameters {
        var parameters = SamplingParameters()
        parameters.seed = 7
        change(&parameters)
        return parameters
    }

    /// Logits as a model gives them: bell-shaped, some far above.
    static func logits(_ count: Int, seed: UInt64, spread: Double = 2) -> [Float] {
        var random = RandomBits(seed: seed)
        return (0..<count).map { _ in
            let bell = (0..<6).reduce(0.0) { sum, _ in sum + random.unit() } - 3
            return Float(bell * spread + (random.unit() < 0.002 ? 8 : 0))
        }
    }

    /// The straightforward way: sorts everything; probabilities of all tokens.
    static func reference(_ logits: [Float], _ parameters: SamplingParameters) -> [Double] {
        let scaled = logits.map { $0.isNaN ? -Double.infinity : Double($0) / Double(parameters.temperature) }
        var order = logits.indices.sorted { (scaled[$0], -$0) > (scaled[$1], -$1) }.filter {
            scaled[$0] > -.infinity
        }
        let best = scaled[order[0]]
        if parameters.topK > 0 { order = Array(order.prefix(parameters.topK)) }
        var total = order.reduce(0.0) { $0 + exp(scaled[$1] - best) }
        if parameters.topP < 1 {
            var sum = 0.0
            let end = order.firstIndex { i in
                sum += exp(scaled[i] - best)
                return sum >= Double(parameters.topP) * total
            }
            order = Array(order.prefix((end ?? order.count - 1) + 1))
        }
        order = order.filter { exp(scaled[$0] - best) >= Double(parameters.minP) }
        total = order.reduce(0.0) { $0 + exp(scaled[$1] - best) }
        var probabilities = [Double](repeating: 0, count: logits.count)
        for i in order { probabilities[i] = exp(scaled[i] - best) / total }
        return probabilities
    }

    @Test("tokens that are excluded, not allowed, or would complete a forbidden sequence are not chosen")
    func restrictions() throws {
        let logits: [Float] = [5, 4, 3, 2, 1]
        func drawn(
            _ count: Int, excluded: Set<Int32> = [], _ change: (inout SamplingParameters) -> Void
        ) throws -> [Int32] {
            var sampler = try Sampler(
                Self.parameters {
                    $0.temperature = 0
                    change(&$0)
                })
            return try (0..<count).map { _ in try sampler.sample(logits.span, excluded: excluded).id }
        }
        #expect(try drawn(1) { _ in } == [0])
        #expect(try drawn(1, excluded: [0, 1]) { _ in } == [2])
        #expect(try drawn(1) { $0.allowedTokens = [3, 4, 99] } == [3])
        #expect(try drawn(4) { $0.forbiddenSequences = [[0]] } == [1, 1, 1, 1])
        #expect(try drawn(5) { $0.forbiddenSequences = [[0, 0], [1, 0]] } == [0, 1, 1, 1, 1])
        #expect(try drawn(6) { $0.forbiddenSequences = [[0, 0, 0]] } == [0, 0, 1, 0, 0, 1])
        // What is excluded is chosen where nothing else is left.
        #expect(try drawn(1, excluded: [3]) { $0.allowedTokens = [3] } == [3])
    }

    static let filters: [SamplingParameters] = [
        parameters { _ in },
        parameters { $0.temperature = 0.7 },
        parameters { $0.temperature = 1.8 },
        parameters { $0.topK = 1 },
        parameters { $0.topK = 5 },
        parameters { $0.topP = 0.5 },
        parameters { $0.topP = 0.9 },
        parameters { $0.topP = 1e-6 },
        parameters { $0.minP = 0.2 },
        parameters { ($0.topK, $0.topP, $0.temperature) = (8, 0.8, 1.3) },
        parameters { ($0.topK, $0.topP, $0.minP) = (12, 0.95, 0.05) },
    ]

    @Test("draws are distributed as the straightforward computation says", arguments: filters)
    func distribution(parameters: SamplingParameters) throws {
        var logits = Self.logits(24, seed: 3, spread: 1)
        logits[4] = .nan
        logits[9] = -.infinity
        logits[11] = logits[10]
        logits[12] = logits[10]
        let wanted = Self.reference(logits, parameters)
        var sampler = try Sampler(parameters)
        var seen = [Int](repeating: 0, count: logits.count)
        let draws = 4_000
        for _ in 0..<draws { seen[Int(try sampler.sample(logits.span).id)] += 1 }
        var statistic = 0.0
        var kinds = 0
        for (count, probability) in zip(seen, wanted) {
            guard probability > 0 else {
                #expect(count == 0)
                continue
            }
            let expected = probability * Double(draws)
            statistic += (Double(count) - expected) * (Double(count) - expected) / expected
            kinds += 1
        }
        // Five standard deviations above the mean of a chi-square with so many degrees of freedom.
        let freedom = Double(kinds - 1)
        #expect(statistic <= freedom + 5 * (2 * freedom).squareRoot() + 1e-9)
    }

    @Test("top-k and top-p keep the right tokens of a large vocabulary", arguments: [0.001, 0.5, 2, 4])
    func largeVocabulary(spread: Double) throws {
        let logits = Self.logits(2_000, seed: 11, spread: spread)
        for (topK, topP) in [(0, Float(0.9)), (40, 1), (500, 0.99), (1_500, 0.5), (0, 0.999)] {
            let parameters = Self.parameters { ($0.topK, $0.topP) = (topK, topP) }
            let wanted = Self.reference(logits, parameters)
            var sampler = try Sampler(parameters)
            for _ in 0..<8 { #expect(wanted[Int(try sampler.sample(logits.span).id)] > 0) }
        }
    }

    @Test("a seed gives the same tokens everywhere")
    func pinned() throws {
        var random = RandomBits(seed: 42)
        #expect(
            (0..<3).map { _ in random.next() } == [
                1546998764402558742, 6990951692964543102, 12544586762248559009,
            ])
        let logits = Self.logits(1_000, seed: 5, spread: 1)
        var sampler = try Sampler(Self.parameters { ($0.seed, $0.topP, $0.temperature) = (1, 0.95, 3) })
        let tokens = try (0..<8).map { _ in try sampler.sample(logits.span).id }
        var again = try Sampler(Self.parameters { ($0.seed, $0.topP, $0.temperature) = (1, 0.95, 3) })
        #expect(try (0..<8).map { _ in try again.sample(logits.span).id } == tokens)
        #expect(tokens == [711, 535, 586, 402, 707, 152, 76, 390])
        var other = try Sampler(Self.parameters { ($0.seed, $0.topP, $0.temperature) = (2, 0.95, 3) })
        #expect(try (0..<8).map { _ in try other.sample(logits.span).id } != tokens)
    }

    @Test("greedy takes the largest logit, of equal ones the lowest id, never what is no number")
    func greedy() throws {
        var sampler = try Sampler(Self.parameters { $0.temperature = 0 })
        #expect(try sampler.sample([1, 3, 3, 2].span).id == 1)
        #expect(try sampler.sample([.nan, -5, .nan].span).id == 1)
        #expect(try sampler.sample([0, .infinity, 1e30].span).id == 1)
        for hopeless: [Float] in [[], [.nan], [-.infinity, .nan, -.infinity]] {
            #expect(throws: SamplingError.nothingToChoose) { try sampler.sample(hopeless.span) }
        }
    }

    @Test("log-probabilities are those of the model's own distribution")
    func logprobs() throws {
        let logits = Self.logits(3_000, seed: 9)
        let best = logits.max() ?? 0
        let normalizer = Double(best) + log(logits.reduce(0.0) { $0 + exp(Double($1 - best)) })
        let order = logits.indices.sorted { (logits[$0], -$0) > (logits[$1], -$1) }
        var sampler = try Sampler(
            Self.parameters {
                ($0.temperature, $0.topK, $0.topLogprobs, $0.repetitionPenalty) = (0.5, 50, 5, 1.5)
            })
        for _ in 0..<20 {
            let token = try sampler.sample(logits.span)
            #expect(abs(Double(token.logprob) - (Double(logits[Int(token.id)]) - normalizer)) < 1e-4)
            #expect(token.top.map(\.id) == order.prefix(5).map(Int32.init))
            for top in token.top {
                #expect(abs(Double(top.logprob) - (Double(logits[Int(top.id)]) - normalizer)) < 1e-4)
            }
        }
    }

    @Test("penalties and bias change what greedy takes")
    func penalties() throws {
        func tokens(
            _ logits: [Float], prompt: [Int32] = [], _ change: (inout SamplingParameters) -> Void
        ) throws -> [Int32] {
            var sampler = try Sampler(
                Self.parameters {
                    $0.temperature = 0
                    change(&$0)
                }, prompt: prompt)
            return try (0..<4).map { _ in try sampler.sample(logits.span).id }
        }
        // Positive logits are divided, negative ones multiplied; the prompt counts.
        #expect(try tokens([4, 3, 2], prompt: [0]) { $0.repetitionPenalty = 2 } == [1, 0, 0, 0])
        #expect(try tokens([-1, -1.5, -9]) { $0.repetitionPenalty = 2 } == [0, 1, 0, 0])
        // Presence counts once, frequency each time; the prompt does not count.
        #expect(try tokens([4, 3.5, 0], prompt: [0]) { $0.presencePenalty = 1 } == [0, 1, 0, 0])
        #expect(try tokens([4, 3.5, 0]) { $0.frequencyPenalty = 0.4 } == [0, 0, 1, 0])
        #expect(try tokens([4, 3.5, 0]) { $0.logitBias = [2: 100, 0: -100, 77: 5] } == [2, 2, 2, 2])
    }

    @Test("only allowed tokens are chosen, and log-probabilities stay the model's", arguments: filters)
    func allowed(parameters: SamplingParameters) throws {
        var parameters = parameters
        parameters.topLogprobs = 3
        parameters.repetitionPenalty = 1.2
        parameters.logitBias = [1: 50, 700: 2]
        let logits = Self.logits(700, seed: 21)
        var free = try Sampler(Self.parameters { ($0.temperature, $0.topLogprobs) = (0, 3) })
        let likeliest = try free.sample(logits.span)
        var mask = TokenMask(capacity: 690)
        for id: Int32 in [0, 63, 64, 65, 200, 689, 690, -1] where id != likeliest.id { mask.insert(id) }
        #expect(mask.count == 6 && !mask.contains(690) && !mask.contains(-1) && !mask.contains(1))
        var sampler = try Sampler(parameters, prompt: [0])
        var seen: Set<Int32> = []
        for _ in 0..<15 {
            let token = try sampler.sample(logits.span, allowed: mask)
            #expect(mask.contains(token.id) && token.top == likeliest.top)
            let difference = Double(token.logprob - likeliest.logprob)
            #expect(abs(difference - Double(logits[Int(token.id)] - logits[Int(likeliest.id)])) < 1e-4)
            seen.insert(token.id)
        }
        #expect(seen.count > 1 || parameters.topK == 1 || parameters.topP < 1 || parameters.minP > 0)
        #expect(throws: SamplingError.nothingToChoose) {
            try sampler.sample(logits.span, allowed: TokenMask(capacity: 700))
        }
    }

    @Test("penalties and bias act among the allowed tokens")
    func penaltiesAmongAllowed() throws {
        var mask = TokenMask(capacity: 4)
        for id: Int32 in [1, 2] { mask.insert(id) }
        var sampler = try Sampler(
            Self.parameters {
                ($0.temperature, $0.frequencyPenalty, $0.logitBias) = (0, 1, [3: 100, 2: 0.5])
            })
        let tokens = try (0..<4).map { _ in try sampler.sample([9, 3, 2, 1].span, allowed: mask).id }
        #expect(tokens == [1, 2, 1, 2])
    }

    @Test("parameters out of range are named by their flag")
    func invalid() {
        let changes: [(String, (inout SamplingParameters) -> Void)] = [
            ("--temperature", { $0.temperature = -1 }), ("--temperature", { $0.temperature = .nan }),
            ("--top-k", { $0.topK = -1 }), ("--top-p", { $0.topP = 0 }), ("--top-p", { $0.topP = 1.1 }),
            ("--min-p", { $0.minP = 2 }), ("--repetition-penalty", { $0.repetitionPenalty = 0 }),
            ("--presence-penalty", { $0.presencePenalty = 3 }),
            ("--frequency-penalty", { $0.frequencyPenalty = .nan }),
            ("--logit-bias", { $0.logitBias = [-1: 1] }), ("--logit-bias", { $0.logitBias = [1: 101] }),
            ("--top-logprobs", { $0.topLogprobs = 21 }),
        ]
        for (flag, change) in changes {
            let error = #expect(throws: SamplingError.self) { _ = try Sampler(Self.parameters(change)) }
            #expect(error?.description.hasPrefix("'\(flag) ") == true)
        }
    }

    @Test(
        "a step over 151,936 tokens is timed",
        .enabled(if: ProcessInfo.processInfo.environment["SCX_TIME"] != nil))
    func time() throws {
        for (name, spread) in [("peaked", 3.0), ("flat", 0.01)] {
            let logits = Self.logits(151_936, seed: 1, spread: spread)
            for (kind, parameters) in [
                ("greedy", Self.parameters { $0.temperature = 0 }), ("plain", Self.parameters { _ in }),
                ("top-p", Self.parameters { ($0.temperature, $0.topP) = (0.8, 0.95) }),
                (
                    "all",
                    Self.parameters {
                        ($0.topK, $0.topP, $0.repetitionPenalty, $0.topLogprobs) = (50, 0.9, 1.1, 20)
                    }
                ),
            ] {
                var sampler = try Sampler(parameters)
                var best = Duration.seconds(9)
                for _ in 0..<20 {
                    best = min(best, try ContinuousClock().measure { _ = try sampler.sample(logits.span) })
                }
                print("sampling", name, kind, best)
            }
        }
    }
}

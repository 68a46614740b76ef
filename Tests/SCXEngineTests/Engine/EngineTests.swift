import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import Testing

/// A model that needs no weights: the token after history h is (sum of h · 7 + length) mod vocabulary.
///
/// It keeps histories as a worker keeps caches, so that wrong positions or lost tokens change the answer.
final class CountingForwardPass: ForwardPass {
    static let vocabulary = 50
    var histories: [Slot: [Int32]] = [:]
    /// The rows of each step.
    var steps: [Int] = []
    var traffic = Traffic()

    static func next(after history: [Int32]) -> Int32 {
        Int32((history.reduce(0) { $0 + Int($1) } * 7 + history.count) % vocabulary)
    }

    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        steps.append(segments.reduce(0) { $0 + $1.tokens.count })
        var results: [[Float]] = []
        for segment in segments {
            var history = histories[segment.slot] ?? []
            guard segment.position <= history.count else { throw .invalidRequest("a gap") }
            history = Array(history.prefix(segment.position))
            var result: [Float] = []
            for token in segment.tokens {
                history.append(token)
                if segment.output == .allLogits { result += row(Self.next(after: history)) }
            }
            if segment.output == .lastLogits { result = row(Self.next(after: history)) }
            if segment.output == .hiddenStates {
                // The second channel counts segments.
                result = segment.tokens.enumerated().flatMap { [Float($1), $0 == 0 ? 1 : 0] }
            }
            histories[segment.slot] = history
            results.append(result)
        }
        return results
    }

    func end(_ slot: Slot) { histories[slot] = nil }

    private func row(_ likeliest: Int32) -> [Float] {
        (0..<Self.vocabulary).map { $0 == Int(likeliest) ? 10 : 0 }
    }
}

/// A greedy request.
func greedy(_ prompt: [Int32], _ maximumTokens: Int, stop: StopConditions = .init()) -> GenerationRequest {
    var sampling = SamplingParameters()
    sampling.temperature = 0
    return GenerationRequest(prompt: prompt, maximumTokens: maximumTokens, sampling: sampling, stop: stop)
}

@Suite("engine")
struct EngineTests {
    func expected(_ prompt: [Int32], _ count: Int) -> [Int32] {
        var history = prompt
        for _ in 0..<count { history.append(CountingForwardPass.next(after: history)) }
        return Array(history.dropFirst(prompt.count))
    }

    func engine(_ forward: CountingForwardPass, tokensPerStep: Int = 8, maximumLength: Int = 100) -> Engine {
        Engine(
            forward: forward, tokenizer: nil, vocabularySize: CountingForwardPass.vocabulary,
            maximumLength: maximumLength, scheduler: Scheduler(tokensPerStep: tokensPerStep))
    }

    @Test("several sessions at once get the tokens that each gets alone", arguments: [1, 3, 8, 512])
    func sessionsAreIndependent(tokensPerStep: Int) throws {
        let forward = CountingForwardPass()
        let engine = engine(forward, tokensPerStep: tokensPerStep)
        let prompts: [[Int32]] = [[1], [2, 3, 4], Array(0..<30), [9, 9]]
        var answers: [SessionID: [Int32]] = [:]
        let ids = try prompts.map { try engine.submit(greedy($0, 12)) }
        while !engine.isIdle {
            for event in try engine.step() {
                answers[event.session, default: []].append(event.token?.id ?? -1)
            }
        }
        for (id, prompt) in zip(ids, prompts) { #expect(answers[id] == expected(prompt, 12)) }
        #expect(forward.steps.allSatisfy { $0 <= max(tokensPerStep, 1) })
    }

    @Test("a conversation computes only what is new")
    func continues() throws {
        let forward = CountingForwardPass()
        let engine = engine(forward, tokensPerStep: 512)
        let prompt: [Int32] = [5, 6, 7, 8]
        var first: [Int32] = []
        let id = try engine.submit(greedy(prompt, 5))
        try engine.run(id) {
            first.append($0.token?.id ?? -1); return true
        }

        let longer = prompt + first + [11, 12]
        var second: [Int32] = []
        forward.steps = []
        let next = try engine.submit(greedy(longer, 3), continuing: id)
        try engine.run(next) {
            second.append($0.token?.id ?? -1); return true
        }
        #expect(second == expected(longer, 3))
        #expect(forward.steps == [3, 1, 1])

        // A prompt that differs in the middle reuses what is before.
        let changed = prompt + [49, 1]
        var third: [Int32] = []
        forward.steps = []
        let last = try engine.submit(greedy(changed, 2), continuing: next)
        try engine.run(last) {
            third.append($0.token?.id ?? -1); return true
        }
        #expect(third == expected(changed, 2))
        #expect(forward.steps == [2, 1])
        try engine.end(last)
        #expect(forward.histories.isEmpty)
    }

    @Test("the answer ends at its limit, at the context's end, at an end token, and when cancelled")
    func ends() throws {
        func finish(_ request: GenerationRequest, maximumLength: Int = 100, cancelAfter: Int = .max) throws
            -> (FinishReason?, Int)
        {
            let engine = engine(CountingForwardPass(), maximumLength: maximumLength)
            var count = 0
            var reason: FinishReason?
            try engine.run(engine.submit(request)) {
                count += 1
                reason = $0.finished
                return count < cancelAfter
            }
            return (reason, count)
        }
        #expect(try finish(greedy([1], 4)) == (.length, 4))
        #expect(try finish(greedy([1, 2], 50), maximumLength: 10) == (.length, 8))
        let third = expected([1], 3)[2]
        #expect(try finish(greedy([1], 50, stop: .init(tokens: [third]))) == (.stop, 3))
        #expect(try finish(greedy([1], 50), cancelAfter: 2) == (nil, 2))
    }

    @Test("a prompt that the model cannot take is refused before anything is computed")
    func refuses() {
        let forward = CountingForwardPass()
        let engine = engine(forward, maximumLength: 4)
        #expect(throws: EngineError.emptyPrompt) { try engine.submit(greedy([], 1)) }
        #expect(throws: EngineError.promptTooLong(tokens: 4, limit: 3)) {
            try engine.submit(greedy([1, 2, 3, 4], 1))
        }
        for token: Int32 in [-1, 50, .max] {
            #expect(throws: EngineError.tokenOutOfRange(vocabulary: 50)) {
                try engine.submit(greedy([1, token], 1))
            }
        }
        #expect(forward.steps.isEmpty)
    }

    @Test("log-likelihoods are those of the next tokens")
    func likelihoods() throws {
        let engine = engine(CountingForwardPass())
        let likely = [1] + expected([1], 3)
        let values = try engine.logLikelihoods(of: likely)
        #expect(values.count == 3)
        for value in values { #expect(abs(value) < 0.01) }
        #expect(try engine.logLikelihoods(of: [1, (likely[1] + 1) % 50])[0] < -9.9)
    }
}

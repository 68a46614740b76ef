import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import Testing

@Suite("speculation changes no answer")
struct SpeculationTests {
    static let prompts: [[Int32]] = (0..<12).map { number in
        let length = number * 5 % 17 + 1
        return (0..<length).map { place in Int32((place * 7 + number * 13) % 50) }
    }

    static func request(
        _ prompt: [Int32], _ maximumTokens: Int, temperature: Float, seed: UInt64 = 3
    ) -> GenerationRequest {
        var sampling = SamplingParameters()
        (sampling.temperature, sampling.seed, sampling.topLogprobs) = (temperature, seed, 2)
        return GenerationRequest(prompt: prompt, maximumTokens: maximumTokens, sampling: sampling)
    }

    static func engine(
        _ drafter: (any Drafter)?, _ forward: PatternForwardPass = PatternForwardPass(),
        tokenizer: Tokenizer? = nil,
        maximumLength: Int = 200, tokensPerStep: Int = 512
    ) -> Engine {
        Engine(
            forward: forward, tokenizer: tokenizer, vocabularySize: forward.vocabulary,
            maximumLength: maximumLength, scheduler: Scheduler(tokensPerStep: tokensPerStep), drafter: drafter
        )
    }

    /// Drafters of all kinds: by look-up, and right in every, in some and in no case.
    static func drafters(_ requests: [GenerationRequest], _ answers: [Transcript], vocabulary: Int = 50)
        -> [any Drafter]
    {
        let texts = zip(requests, answers).map { $0.prompt + $1.ids }
        return [NGramDrafter(longest: 1), NGramDrafter(longest: 6)]
            + [0, 0.1, 0.4, 1].map {
                ScriptedDrafter(longest: 5, texts: texts, errors: $0, vocabulary: vocabulary)
            }
    }

    /// Runs requests with each drafter, and compares with what they give without.
    static func check(
        _ requests: [GenerationRequest], vocabulary: Int = 50, apart: Int = 0, within tolerance: Float = 0,
        _ makeEngine: ((any Drafter)?) throws -> Engine
    ) throws {
        let expected = try makeEngine(nil).transcripts(requests, apart: apart)
        #expect(expected.allSatisfy { $0.finished != nil && $0.speculation == .init() })
        for drafter in drafters(requests, expected, vocabulary: vocabulary) {
            let engine = try makeEngine(drafter)
            let found = try engine.transcripts(requests, apart: apart)
            for (found, expected) in zip(found, expected) {
                #expect(found.agrees(with: expected, within: tolerance))
            }
            let total = engine.speculation
            #expect(total.proposed == found.reduce(0) { $0 + $1.speculation.proposed })
            #expect(total.accepted == found.reduce(0) { $0 + $1.speculation.accepted })
            #expect(total.steps == found.reduce(0) { $0 + $1.speculation.steps })
            #expect(total.accepted <= total.proposed && total.steps <= total.proposed)
        }
    }

    @Test("greedy or drawn, whatever is drafted", arguments: [0, 1] as [Float])
    func alone(temperature: Float) throws {
        for (number, prompt) in Self.prompts.enumerated() {
            try Self.check(
                [Self.request(prompt, 40, temperature: temperature, seed: UInt64(number))]
            ) { Self.engine($0) }
        }
    }

    @Test("several sessions at once, each with its own acceptance", arguments: [0, 1] as [Float], [0, 3])
    func together(temperature: Float, apart: Int) throws {
        let requests = Self.prompts.enumerated().map { number, prompt in
            Self.request(prompt, 10 + number * 5, temperature: temperature, seed: UInt64(number))
        }
        for tokensPerStep in [7, 512] {
            try Self.check(requests, apart: apart) { Self.engine($0, tokensPerStep: tokensPerStep) }
        }
    }

    @Test("penalties, bias, top-k, top-p and min-p")
    func sampling() throws {
        let requests = Self.prompts.enumerated().map { number, prompt in
            var request = Self.request(prompt, 40, temperature: 0.9, seed: UInt64(number))
            request.sampling.topP = number % 2 == 0 ? 0.8 : 1
            request.sampling.topK = number % 3 == 0 ? 7 : 0
            request.sampling.minP = number % 5 == 0 ? 0.05 : 0
            request.sampling.repetitionPenalty = number % 4 == 0 ? 1.2 : 1
            request.sampling.presencePenalty = number % 4 == 1 ? 0.5 : 0
            request.sampling.frequencyPenalty = number % 4 == 2 ? 0.3 : 0
            request.sampling.logitBias = number % 3 == 1 ? [7: 3, 9: -100] : [:]
            return request
        }
        try Self.check(requests) { Self.engine($0) }
    }

    @Test("every length of an answer, and every length of the context", arguments: [0, 1] as [Float])
    func limits(temperature: Float) throws {
        for length in 1...14 {
            try Self.check([Self.request([1, 2, 3], length, temperature: temperature)]) { Self.engine($0) }
            try Self.check([Self.request([1, 2, 3], 100, temperature: temperature)]) {
                Self.engine($0, maximumLength: 4 + length)
            }
        }
    }

    @Test("no row is computed that no token could come of")
    func noRowTooMany() throws {
        for length in 1...14 {
            let forward = PatternForwardPass()
            let request = Self.request([1, 2, 3], length, temperature: 0)
            let answer = try Self.engine(nil).transcripts([request])[0]
            let drafter = ScriptedDrafter(
                longest: 5, texts: [[1, 2, 3] + answer.ids], errors: 0, vocabulary: 50)
            let engine = Self.engine(drafter, forward)
            #expect(try engine.transcripts([request])[0] == answer)
            #expect(forward.steps.reduce(0, +) == 3 + length - 1)
            #expect(engine.speculation.accepted == engine.speculation.proposed)
            #expect(drafter.ended.count == 1)
        }
    }

    @Test("end tokens, also those that a draft holds")
    func endTokens() throws {
        for place in 0..<8 {
            var request = Self.request([4, 5], 60, temperature: 1)
            let answer = try Self.engine(nil).transcripts([request])[0]
            request.stop.tokens = [answer.ids[place]]
            try Self.check([request]) { Self.engine($0) }
            request.stop.ignoresTokens = true
            try Self.check([request]) { Self.engine($0) }
        }
    }

    @Test("stop strings, in the middle of tokens and of drafts")
    func stopStrings() throws {
        let tokenizer = try BundledTokenizer.shared.get()
        let words = tokenizer.encode("the patient has a mild cough and takes two tablets each day.")
        func engine(_ drafter: (any Drafter)?) -> Engine {
            Self.engine(
                drafter,
                PatternForwardPass(vocabulary: tokenizer.vocabularySize, favoured: words.map { Int($0) }),
                tokenizer: tokenizer)
        }
        for temperature in [0, 1] as [Float] {
            let text = try engine(nil).transcripts([Self.request(words, 24, temperature: temperature)])[0]
                .pieces.joined()
            for offset in stride(from: 0, to: max(1, text.count - 4), by: 3) {
                var request = Self.request(words, 24, temperature: temperature)
                request.stop.strings = [String(text.dropFirst(offset).prefix(4)), "zzzz"]
                try Self.check([request], vocabulary: tokenizer.vocabularySize, engine)
            }
        }
    }

    @Test("constraints; a draft is cut before a token that they do not allow")
    func constraints() throws {
        let tokenizer = try BundledTokenizer.shared.get()
        let table = TokenTable(tokenizer)
        let end = try #require(["<|end|>", "</s>"].compactMap { tokenizer.id(for: $0) }.first)
        let schema = try JSON(
            parsing: #"{"type":"array","items":{"enum":["cough","fever","pain"]},"minItems":4,"maxItems":9}"#)
        let constraint = try TokenConstraint(.schema(JSONSchema(schema)), table: table, endTokens: [end])
        func engine(_ drafter: (any Drafter)?) -> Engine {
            Self.engine(
                drafter, PatternForwardPass(vocabulary: tokenizer.vocabularySize), tokenizer: tokenizer)
        }
        for temperature in [0, 1] as [Float] {
            var request = Self.request([1, 2, 3], 60, temperature: temperature)
            request.constraint = constraint
            request.stop.tokens = [end]
            try Self.check([request], vocabulary: tokenizer.vocabularySize, engine)
            // Wrong tokens beyond the grammar are not even computed.
            let answer = try engine(nil).transcripts([request])[0]
            let wrong = ScriptedDrafter(
                longest: 5, texts: [[1, 2, 3] + answer.ids], errors: 1, vocabulary: tokenizer.vocabularySize)
            let found = try engine(wrong).transcripts([request])[0]
            #expect(found.speculation.proposed < answer.tokens.count)
        }
        var walking = constraint
        let letters = answerTokens(["[", "\"c"], tokenizer)
        let count = walking.usable(letters + [end])
        #expect(count <= letters.count)
        var fresh = constraint
        #expect(walking.allowed() == fresh.allowed())
    }

    private func answerTokens(_ texts: [String], _ tokenizer: Tokenizer) -> [Int32] {
        texts.flatMap { tokenizer.encode($0, addSpecialTokens: false) }
    }

    @Test("a cancelled answer ends where it is cancelled, and the conversation goes on")
    func cancels() throws {
        let request = Self.request([1, 2, 3], 40, temperature: 0)
        let answer = try Self.engine(nil).transcripts([request])[0]
        for count in 1...9 {
            let drafter = ScriptedDrafter(
                longest: 5, texts: [[1, 2, 3] + answer.ids], errors: 0, vocabulary: 50)
            let engine = Self.engine(drafter)
            let other = try engine.submit(Self.request([9, 8], 30, temperature: 1))
            var seen: [Int32] = []
            let session = try engine.submit(request)
            try engine.run(session) { event in
                seen += event.token.map { [$0.id] } ?? []
                return seen.count < count
            }
            #expect(seen == Array(answer.ids.prefix(count)))
            let next = Self.request([1, 2, 3] + seen + [7], 20, temperature: 0)
            var continued: [Int32] = []
            try engine.run(engine.submit(next, continuing: session)) { event in
                continued += event.token.map { [$0.id] } ?? []
                return true
            }
            #expect(continued == (try Self.engine(nil).transcripts([next])[0].ids))
            try engine.end(other)
        }
    }

    @Test("a worker that is lost, or full, in the middle", arguments: [0, 1] as [Float])
    func failures(temperature: Float) throws {
        let requests = Self.prompts.prefix(4).enumerated().map { number, prompt in
            Self.request(prompt, 30, temperature: temperature, seed: UInt64(number))
        }
        let lost = LinkError.disconnected("gone")
        let full = LinkError.workerFull("no place")
        for first in 1...8 {
            for failures in [
                [first: lost, first + 1: .timedOut("silent"), first + 5: lost], [min(first, 3): full],
            ] {
                try Self.check(Array(requests)) { drafter in
                    let forward = PatternForwardPass()
                    forward.failures = failures
                    return Self.engine(drafter, forward)
                }
            }
        }
    }

    @Test("what is asked of a prompt is not touched by drafts of its answer")
    func promptScores() throws {
        var request = Self.request(Self.prompts[5], 20, temperature: 0)
        request.promptAlternatives = 2
        func scores(_ drafter: (any Drafter)?) throws -> [[SampledToken]] {
            var scores: [[SampledToken]] = []
            let engine = Self.engine(drafter)
            try engine.run(engine.submit(request)) {
                scores.append($0.promptScores)
                return true
            }
            return scores
        }
        #expect(try scores(NGramDrafter(longest: 6)) == scores(nil))
    }

    @Test("steps with drafts have no more rows than are cheap, prompts included")
    func rows() throws {
        let requests = (0..<30).map { Self.request([Int32($0), 1, 2], 40, temperature: 0) }
        let answers = try Self.engine(nil).transcripts(requests)
        let forward = PatternForwardPass()
        let drafter = ScriptedDrafter(
            longest: 8, texts: zip(requests, answers).map { $0.prompt + $1.ids }, errors: 0, vocabulary: 50)
        let found = try Self.engine(drafter, forward).transcripts(requests)
        #expect(found == answers)
        #expect(forward.steps.dropFirst().allSatisfy { $0 <= Scheduler.rowsWithDrafts })
        #expect(forward.steps.count < 30)
    }
}

@Suite("drafts")
struct DraftTests {
    private func draft(_ tokens: [Int32], _ count: Int = 4) -> [Int32] {
        NGramDrafter(longest: 8).draft([
            DraftRequest(session: SessionID(number: 1), tokens: tokens, count: count)
        ])[0]
    }

    @Test("what followed the longest run at its latest occurrence")
    func lookUp() {
        #expect(draft([]) == [])
        #expect(draft([1]) == [])
        #expect(draft([1, 2, 3]) == [])
        #expect(draft([1, 2, 3, 1]) == [2, 3, 1, 2])
        // The latest occurrence of the longest run, not of a shorter one.
        #expect(draft([1, 2, 3, 9, 1, 2, 4, 8, 7, 2, 5, 6, 1, 2], 2) == [4, 8])
        #expect(draft([1, 2, 3, 9, 1, 2, 4, 8, 7, 2, 5, 6, 3, 2], 2) == [5, 6])
        #expect(draft([7, 7]) == [7, 7, 7, 7])
        #expect(draft([5, 6, 5, 6], 5) == [5, 6, 5, 6, 5])
    }

    @Test("an index that grows token by token finds what one made at once finds")
    func grows() {
        var random = RandomBits(seed: 1)
        let session = SessionID(number: 1)
        let drafter = NGramDrafter(longest: 8)
        var tokens: [Int32] = []
        for _ in 0..<600 {
            for _ in 0..<(random.next() % 3 + 1) { tokens.append(Int32(random.next() % 6)) }
            let request = DraftRequest(session: session, tokens: tokens, count: 5)
            let proposed = drafter.draft([request])[0]
            #expect(proposed == draft(tokens, 5))
            #expect(drafter.length(request) == proposed.count)
        }
    }

    @Test("rows of drafts come after all others and are shared evenly")
    func schedule() {
        func drafts(_ waiting: [(tokens: Int, draft: Int)], tokensPerStep: Int = 512) -> [Int] {
            Scheduler(tokensPerStep: tokensPerStep).schedule(
                waiting.enumerated().map {
                    .init(session: SessionID(number: UInt32($0)), tokens: $1.tokens, draft: $1.draft)
                }
            ).map(\.draft)
        }
        #expect(drafts([(1, 8)]) == [8])
        #expect(drafts([(1, 8), (1, 0), (1, 2)]) == [8, 0, 2])
        #expect(drafts([(1, 8), (1, 2), (1, 8)], tokensPerStep: 12) == [4, 2, 3])
        #expect(drafts([(1, 8), (60, 0)]) == [3, 0])
        #expect(drafts([(1, 8), (300, 0)]) == [0, 0])
        #expect(drafts(Array(repeating: (1, 8), count: 70)).allSatisfy { $0 == 0 })
        #expect(drafts(Array(repeating: (1, 8), count: 40)).reduce(0, +) == 24)
    }
}

import SCXEngine
import SCXLink
import SCXProfiles
import Testing

/// A counting model whose prompts come whole, in blocks.
private final class WholePromptForwardPass: ForwardPass {
    let counting = CountingForwardPass()
    /// What the next block of a prompt ends with.
    var failure: LinkError?

    var traffic: Traffic { counting.traffic }
    var splitsPrompts: Bool { false }

    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] { try counting.compute(segments) }
    func end(_ slot: Slot) { counting.end(slot) }
    func promptKind(of segment: BatchSegment) -> PromptKind? { .first }
    func begin(_ segments: [BatchSegment]) throws(LinkError) -> (any PromptRun)? { Run(self, segments) }

    private final class Run: PromptRun {
        private let forward: WholePromptForwardPass
        private var segments: [BatchSegment]
        private(set) var progress = 0.0

        init(_ forward: WholePromptForwardPass, _ segments: [BatchSegment]) {
            (self.forward, self.segments) = (forward, segments)
        }

        func drop(_ slot: Slot) { segments.removeAll { $0.slot == slot } }

        func advance() throws(LinkError) -> [[Float]]? {
            if let failure = forward.failure {
                forward.failure = nil
                forward.counting.histories = [:]
                throw failure
            }
            progress += 0.25
            return progress < 1 ? nil : try forward.counting.compute(segments)
        }
    }
}

@Suite("what a request asks of its prompt")
struct EngineRequestTests {
    private func engine(_ forward: any ForwardPass, tokensPerStep: Int = 8) -> Engine {
        Engine(
            forward: forward, tokenizer: nil, vocabularySize: CountingForwardPass.vocabulary,
            maximumLength: 400, scheduler: Scheduler(tokensPerStep: tokensPerStep))
    }

    private func events(_ engine: Engine, _ request: GenerationRequest) throws -> [SessionEvent] {
        var events: [SessionEvent] = []
        try engine.run(engine.submit(request)) {
            events.append($0)
            return true
        }
        return events
    }

    private func likely(_ count: Int) -> [Int32] { [3] + EngineTests().expected([3], count - 1) }

    @Test("each prompt token has its probability and the likeliest in its place", arguments: [3, 64, 512])
    func scores(tokensPerStep: Int) throws {
        // Longer than the part whose logits are computed together.
        var prompt = likely(300)
        prompt[200] = (prompt[200] + 1) % 50
        var request = greedy(prompt, 2)
        request.promptAlternatives = 2
        let events = try events(engine(CountingForwardPass(), tokensPerStep: tokensPerStep), request)
        #expect(events.compactMap { $0.token?.id } == EngineTests().expected(prompt, 2))
        let scores = events[0].promptScores
        #expect(events[1].promptScores.isEmpty)
        try #require(scores.map(\.id) == Array(prompt.dropFirst()))
        for place in 1..<300 {
            let next = CountingForwardPass.next(after: Array(prompt[..<place]))
            let score = scores[place - 1]
            #expect(score.top.first?.id == next)
            #expect(score.top.count == 2)
            let expected: Float = prompt[place] == next ? 0 : -10
            #expect(abs(score.logprob - expected) < 0.01)
        }
        #expect(scores[199].logprob < -9)
    }

    @Test("a prompt can be scored with no answer, and without alternatives")
    func scoresAlone() throws {
        var request = greedy(likely(5), 0)
        request.promptAlternatives = 0
        let events = try events(engine(CountingForwardPass()), request)
        #expect(events.count == 1)
        #expect(events[0].finished == .length)
        #expect(events[0].token == nil)
        #expect(events[0].promptScores.count == 4)
        let hasNoAlternatives = events[0].promptScores.allSatisfy(\.top.isEmpty)
        #expect(hasNoAlternatives)
        // The longest prompt that needs no room for an answer.
        var longest = greedy(likely(400), 0)
        longest.promptAlternatives = 0
        #expect(try self.events(engine(CountingForwardPass()), longest)[0].promptScores.count == 399)
    }

    @Test("an embedding is the mean over the whole prompt, in however many parts", arguments: [2, 8, 512])
    func embeds(tokensPerStep: Int) throws {
        let prompt = (0..<20).map { Int32($0) }
        var request = greedy(prompt, 0)
        request.reading = .pooled([.mean])
        let events = try events(engine(CountingForwardPass(), tokensPerStep: tokensPerStep), request)
        #expect(events.count == 1)
        #expect(events[0].finished == .stop)
        let parts = (20 + tokensPerStep - 1) / tokensPerStep
        // The model's second channel counts segments.
        #expect(events[0].reading == [190 / 20, Float(parts) / 20])
    }

    @Test("what is asked of a prompt is asked of all of it, also where a session goes on")
    func continued() throws {
        let engine = engine(CountingForwardPass(), tokensPerStep: 512)
        let prompt = likely(6)
        for isPooled in [true, false] {
            let earlier = try engine.submit(greedy(prompt, 1))
            try engine.run(earlier) { _ in true }
            var request = greedy(prompt + [1], isPooled ? 0 : 1)
            request.reading = isPooled ? .pooled([.mean]) : nil
            request.promptAlternatives = isPooled ? nil : 0
            var events: [SessionEvent] = []
            let session = try engine.submit(request, continuing: earlier)
            try engine.run(session) {
                events.append($0)
                return true
            }
            #expect(events[0].usage.cachedTokens == 0)
            if isPooled {
                #expect(events[0].reading.first == Float(request.prompt.reduce(0, +)) / 7)
            } else {
                #expect(events[0].promptScores.count == 6)
            }
        }
    }

    @Test("a worker lost while a prompt is on its way takes no token from those that generate")
    func keepsTokens() throws {
        let forward = WholePromptForwardPass()
        let engine = engine(forward, tokensPerStep: 4)
        var answers: [SessionID: [Int32]] = [:]
        func step() throws {
            for event in try engine.step() {
                answers[event.session, default: []] += event.token.map { [$0.id] } ?? []
            }
        }
        let first = try engine.submit(greedy([1, 2], 12))
        while answers[first] == nil { try step() }
        let second = try engine.submit(greedy(Array(5..<25), 6))
        forward.failure = .disconnected("gone")
        while !engine.isIdle { try step() }
        #expect(answers[first] == EngineTests().expected([1, 2], 12))
        #expect(answers[second] == EngineTests().expected(Array(5..<25), 6))
    }
}

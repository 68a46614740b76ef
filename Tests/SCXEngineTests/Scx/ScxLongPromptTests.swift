import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// A link to a worker that takes no tensor above a limit, and counts requests of attention.
private final class LimitedLink: WorkerLink, @unchecked Sendable {
    let inner: any WorkerLink
    let largestTensor: Int
    /// Only one thread exchanges.
    private(set) var attentions = 0

    init(_ inner: any WorkerLink, largestTensor: Int) {
        (self.inner, self.largestTensor) = (inner, largestTensor)
    }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        guard request.byteCount <= largestTensor else {
            throw .invalidRequest("\(request.byteCount) bytes")
        }
        if case .attention = request.operation { attentions += 1 }
        return try inner.exchange(request)
    }
}

@Suite("profile scx: prompts whose attention is more than one request holds")
struct ScxLongPromptTests {
    @Test("are sent in parts and give the same tokens", arguments: ScxEquivalenceTests.families, [1, 2])
    func parts(family: String, ends: Int) throws {
        let model = try #require(ScxFixture.families[family])
        let prompt = model.prompt(300)
        let more = prompt + model.prompt(200, seed: 3)
        func answers(_ engine: Engine) throws -> [[Int32]] {
            let first = try engine.submit(greedy(prompt, 4))
            var tokens: [[Int32]] = [[], []]
            try engine.run(first) {
                tokens[0] += $0.token.map { [$0.id] } ?? []; return true
            }
            // Goes on where other tokens lie before it.
            let second = try engine.submit(greedy(more, 4), continuing: first)
            try engine.run(second) {
                tokens[1] += $0.token.map { [$0.id] } ?? []; return true
            }
            return tokens
        }
        let worker = Worker(model: model.decoder)
        // Rows, and the one query of a generated token with all keys and values, must fit.
        let configuration = model.checkpoint.configuration
        let query = 4 * configuration.headCount * configuration.headSize
        let pair = 8 * configuration.keyValueHeadCount * configuration.headSize
        let limit = max(query + 510 * pair, 310 * 4 * configuration.hiddenSize)
        #expect(limit < 300 * (query + pair))
        let link = LimitedLink(InProcessLink(worker), largestTensor: limit)
        let options = ScxEquivalenceTests.options(ends, ends, .none)
        let found = try answers(model.scx(options, link))
        #expect(found == (try answers(model.scx(options))))
        #expect(found == (try answers(model.plain())))
        #expect(link.attentions > 2 * model.blockCount)
    }

    @Test("that no request can hold fail alone, beside others that are answered")
    func tooLong() throws {
        let model = try #require(ScxFixture.families["llama"])
        let rowBytes = 4 * model.checkpoint.configuration.hiddenSize
        let link = LimitedLink(InProcessLink(Worker(model: model.decoder)), largestTensor: 330 * rowBytes)
        let engine = try model.scx(ScxEquivalenceTests.options(1, 1, .none), link)
        let long = try engine.submit(greedy(model.prompt(2_000), 4))
        let short = try (0..<3).map { try engine.submit(greedy(model.prompt(20, seed: $0), 4)) }
        var tokens: [SessionID: [Int32]] = [:]
        var failures: [SessionID: any Error] = [:]
        while !engine.isIdle {
            for event in try engine.step() {
                tokens[event.session, default: []] += event.token.map { [$0.id] } ?? []
                if let failure = event.failure { failures[event.session] = failure }
            }
        }
        #expect(Array(failures.keys) == [long])
        for (seed, id) in short.enumerated() {
            let plain = try model.plain()
            var expected: [Int32] = []
            try plain.run(plain.submit(greedy(model.prompt(20, seed: seed), 4))) {
                expected += $0.token.map { [$0.id] } ?? []
                return true
            }
            #expect(tokens[id] == expected)
        }
    }
}

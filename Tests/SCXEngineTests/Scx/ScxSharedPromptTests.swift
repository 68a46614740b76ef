import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// A link that counts exchanges, and fails some of them.
private final class FaultyLink: WorkerLink, @unchecked Sendable {
    private let decoder: Decoder
    private var worker: Worker
    /// Only one thread exchanges.
    private(set) var requests: [Request] = []
    /// Says what a request fails with; one that loses the worker takes all that it held.
    var failure: (Request, _ number: Int) -> LinkError? = { _, _ in nil }
    private(set) var losses = 0

    init(_ decoder: Decoder) {
        self.decoder = decoder
        worker = Worker(model: decoder)
    }

    var statistics: WorkerStatistics { worker.statistics }
    var traffic = Traffic()

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        requests.append(request)
        if let error = failure(request, requests.count) {
            if error.losesWorker {
                losses += 1
                worker = Worker(model: decoder)
            }
            throw error
        }
        let answer = try worker.answer(request)
        traffic.add(request, answer)
        return answer
    }

    /// How many requests there were of a kind.
    func count(_ kind: MessageKind) -> Int { requests.count { $0.kind == kind } }

    /// Rows of the requests of a kind.
    func rows(_ kind: MessageKind) -> [Int] {
        requests.compactMap {
            guard $0.kind == kind, case .rows(let tensor) = $0.payload else { return nil }
            return tensor.rows
        }
    }
}

@Suite("prompts of profile scx that share exchanges")
struct ScxSharedPromptTests {
    /// What became of requests, in their order.
    private struct Outcome {
        var tokens: [[Int32]]
        var likelihoods: [[Float]]
        var failures: [LinkError?]
    }

    /// Runs requests that are all there at once, to their ends.
    private func run(
        _ engine: Engine, _ requests: [GenerationRequest],
        onStep: (_ number: Int, _ ids: [SessionID]) throws -> Void = { _, _ in }
    ) throws -> Outcome {
        let ids = try requests.map { try engine.submit($0) }
        var outcome = Outcome(
            tokens: Array(repeating: [], count: ids.count),
            likelihoods: Array(repeating: [], count: ids.count),
            failures: Array(repeating: nil, count: ids.count))
        var steps = 0
        while !engine.isIdle {
            steps += 1
            try #require(steps < 2_000, "it does not end")
            for event in try engine.step() {
                guard let place = ids.firstIndex(of: event.session) else { continue }
                if let token = event.token {
                    outcome.tokens[place].append(token.id)
                    outcome.likelihoods[place].append(token.logprob)
                }
                outcome.failures[place] = event.failure as? LinkError ?? outcome.failures[place]
            }
            try onStep(steps, ids)
        }
        for id in ids where engine.keeps(id) { try engine.end(id) }
        return outcome
    }

    /// What each request is answered alone, by profile `plain`.
    private func alone(_ model: ScxFixture, _ requests: [GenerationRequest]) throws -> Outcome {
        var outcome = Outcome(tokens: [], likelihoods: [], failures: [])
        for request in requests {
            let one = try run(model.plain(), [request])
            outcome.tokens += one.tokens
            outcome.likelihoods += one.likelihoods
            outcome.failures += one.failures
        }
        return outcome
    }

    private func check(_ found: Outcome, _ expected: Outcome, except: Set<Int> = []) {
        for place in expected.tokens.indices where !except.contains(place) {
            #expect(found.failures[place] == nil)
            #expect(found.tokens[place] == expected.tokens[place], "request \(place)")
            let differences = zip(found.likelihoods[place], expected.likelihoods[place]).map { abs($0 - $1) }
            #expect((differences.max() ?? 0) < 1e-3, "request \(place)")
        }
    }

    private func engine(
        _ model: ScxFixture, _ options: ScxOptions, _ link: any WorkerLink, tokensPerStep: Int = 512
    ) throws -> Engine {
        let vocabulary = model.checkpoint.configuration.vocabularySize
        return Engine(
            forward: try ScxForwardPass(
                embedding: try TokenEmbedding(model.checkpoint), layers: model.decoder,
                profile: model.profile,
                options: options, link: link),
            tokenizer: nil, vocabularySize: vocabulary,
            maximumLength: model.checkpoint.configuration.maximumLength,
            scheduler: Scheduler(tokensPerStep: tokensPerStep))
    }

    private static let lengths = [1, 16, 30, 2, 24, 17, 31, 16, 20, 5, 28, 19, 32, 16, 22, 27]

    private func requests(_ model: ScxFixture, _ lengths: [Int] = lengths, tokens: Int = 6)
        -> [GenerationRequest]
    {
        lengths.enumerated().map { greedy(model.prompt($1, seed: $0), tokens) }
    }

    @Test(
        "sixteen prompts take the exchanges of one, with redundant rows for all together, and each is answered as alone",
        arguments: ScxEquivalenceTests.families)
    func exchanges(family: String) throws {
        let model = try #require(ScxFixture.families[family])
        for (first, last, reuse) in [(1, 1, .oneTime), (2, 2, .session), (1, 4, .oneTime)]
            as [(Int, Int, ScxOptions.Reuse)]
        {
            var options = ScxEquivalenceTests.options(first, last, .auto, reuse)
            let requests = requests(model)
            let expected = try alone(model, requests)
            let total = Self.lengths.reduce(0, +)
            for (policy, redundant) in [(.auto, 0), (.fixed(9), 9), (.ratio(0.5), (total + 1) / 2)]
                as [(ScxOptions.Redundancy, Int)]
            {
                options.redundancy = policy
                let link = FaultyLink(model.decoder)
                check(try run(engine(model, options, link), requests), expected)
                #expect(link.count(.headTopK) == 1)
                #expect(link.rows(.headTopK) == [total + redundant])
                let whole = link.rows(.feedForward).filter { $0 > Self.lengths.count }
                #expect(whole == Array(repeating: total + redundant, count: model.blockCount))
                #expect(link.statistics.slots == 0)
            }
        }
    }

    @Test("few prompts have redundant rows among them as one would")
    func fewRows() throws {
        let model = try #require(ScxFixture.families["llama"])
        let link = FaultyLink(model.decoder)
        let requests = requests(model, [10, 20, 30])
        check(try run(engine(model, ScxOptions(), link), requests), try alone(model, requests))
        #expect(link.rows(.headTopK) == [160])
    }

    @Test(
        "over a stream of bytes the worker keeps the shared rows as well, so that nothing is computed twice")
    func overStream() throws {
        let model = try #require(ScxFixture.families["llama"])
        let digest = model.checkpoint.digest()
        let server = WorkerServer(worker: Worker(model: model.decoder), digest: digest, weights: .f32)
        let link = RemoteLink(digest: digest, model: model.checkpoint.configuration) { _ in
            let (client, worker) = PipeStream.pair { _, _ in }
            Thread.detachNewThread { server.serve(worker) }
            return client
        }
        let requests = requests(model)
        let engine = try engine(model, ScxOptions(), link)
        check(try run(engine, requests), try alone(model, requests))
        #expect(engine.rebuilds == 0)
        link.close()
    }

    @Test("keys are drawn for each exchange, and what a session shares names no row of another")
    func orders() throws {
        let model = try #require(ScxFixture.families["llama"])
        let link = FaultyLink(model.decoder)
        let requests = requests(model)
        _ = try run(engine(model, ScxOptions(), link), requests)
        var orders: [Int: [Slot: [UInt32]]] = [:]
        var sources: Set<Slot> = []
        for request in link.requests {
            switch (request.operation, request.payload) {
            case (.unlock(let slot, let layer, _, let source), .permutation(let places)):
                orders[layer, default: [:]][slot] = places
                if let source { sources.insert(source) }
                #expect(source != nil && source != slot)
            case (.linear(_, _, let slot?, _), _): sources.insert(slot)
            default: break
            }
        }
        // One slot has the rows of all, and it is no session's.
        #expect(sources.count == 1)
        #expect(orders.count == model.blockCount - 2)
        var seen: Set<[UInt32]> = []
        for (layer, shared) in orders {
            #expect(shared.count == requests.count && sources.isDisjoint(with: shared.keys))
            let rows = shared.values.joined()
            #expect(Set(rows).count == rows.count, "layer \(layer) names a row twice")
            #expect(rows.count == Self.lengths.reduce(0, +))
            #expect(seen.insert(shared.sorted { $0.key.number < $1.key.number }.flatMap(\.value)).inserted)
        }
        // No two parts of an attention, and no two attentions, have the channels of a head in the same order: a token's
        // key has other neighbours each time.
        let attentions = link.requests.filter {
            if case .attention(_, let parts) = $0.operation { parts.count > 1 } else { false }
        }
        #expect(attentions.count >= model.blockCount)
    }

    @Test("prompts that come while others generate share exchanges beside them", arguments: [4, 16, 40])
    func besideTokens(tokensPerStep: Int) throws {
        let model = try #require(ScxFixture.families["qwen3"])
        let link = FaultyLink(model.decoder)
        let engine = try engine(model, ScxOptions(), link, tokensPerStep: tokensPerStep)
        let requests = requests(model, tokens: 12)
        var ids: [SessionID] = []
        var tokens: [SessionID: [Int32]] = [:]
        var (left, step) = (requests[...], 0)
        while !engine.isIdle || !left.isEmpty {
            // One at first, three more in the middle of its prompt or answer, and so on.
            if step % 3 == 0 {
                let count = step == 0 ? 1 : 3
                ids += try left.prefix(count).map { try engine.submit($0) }
                left = left.dropFirst(count)
            }
            for event in try engine.step() {
                tokens[event.session, default: []] += event.token.map { [$0.id] } ?? []
            }
            step += 1
        }
        let expected = try alone(model, requests)
        #expect(ids.map { tokens[$0] ?? [] } == expected.tokens)
        #expect(link.count(.headTopK) < requests.count)
    }

    @Test("conversations go on together, and rows of earlier turns serve again")
    func laterTurns() throws {
        let model = try #require(ScxFixture.families["llama"])
        let link = FaultyLink(model.decoder)
        let engine = try engine(model, ScxEquivalenceTests.options(2, 2, .fixed(5)), link)
        var histories = (0..<5).map { model.prompt(4 + 5 * $0, seed: $0) }
        var sessions: [SessionID?] = Array(repeating: nil, count: 5)
        for turn in 0..<3 {
            let before = link.count(.headTopK)
            let ids = try zip(histories, sessions).map { try engine.submit(greedy($0, 5), continuing: $1) }
            var tokens: [SessionID: [Int32]] = [:]
            while !engine.isIdle {
                for event in try engine.step() {
                    tokens[event.session, default: []] += event.token.map { [$0.id] } ?? []
                    if turn > 0 { #expect(event.usage.cachedTokens > 0) }
                }
            }
            let expected = try alone(model, histories.map { greedy($0, 5) })
            #expect(ids.map { tokens[$0] ?? [] } == expected.tokens, "turn \(turn)")
            #expect(link.count(.headTopK) == before + 1)
            for (i, id) in ids.enumerated() {
                histories[i] += (tokens[id] ?? []) + model.prompt(3 + i, seed: 50 + i)
                sessions[i] = id
            }
        }
    }

    @Test("one that is cancelled in the middle changes nothing for the others", arguments: [1, 2, 4])
    func cancelled(step: Int) throws {
        let model = try #require(ScxFixture.families["llama"])
        let link = FaultyLink(model.decoder)
        let requests = requests(model)
        // Some blocks in each step.
        let engine = try engine(model, ScxOptions(), link, tokensPerStep: 60)
        let gone: Set<Int> = [2, 7]
        let found = try run(engine, requests) { number, ids in
            guard number == step else { return }
            for place in gone { engine.cancel(ids[place]) }
        }
        check(found, try alone(model, requests), except: gone)
        #expect(found.tokens[2].isEmpty && found.tokens[7].isEmpty)
        #expect(link.statistics.slots == 0)
    }

    @Test("those that are left go on when all others are cancelled")
    func onlyOneLeft() throws {
        let model = try #require(ScxFixture.families["llama"])
        let requests = requests(model, [40, 40, 40])
        let engine = try engine(model, ScxOptions(), FaultyLink(model.decoder), tokensPerStep: 20)
        let found = try run(engine, requests) { number, ids in
            if number == 2 { for id in ids.dropFirst() { engine.cancel(id) } }
        }
        check(found, try alone(model, requests), except: [1, 2])
    }

    @Test(
        "a worker that is lost in the middle changes no token",
        arguments: [2, 7, 15, 20, 22, 30, 45, 75, 120])
    func lostWorker(failure: Int) throws {
        let model = try #require(ScxFixture.families["qwen3"])
        let link = FaultyLink(model.decoder)
        link.failure = { _, number in number == failure ? .disconnected("the test ended it") : nil }
        let requests = requests(model)
        let engine = try engine(model, ScxOptions(), link)
        check(try run(engine, requests), try alone(model, requests))
        #expect(link.losses == 1)
        #expect(link.statistics.slots == 0)
    }

    @Test("a request that the worker refuses fails alone, and takes no other with it")
    func refused() throws {
        let model = try #require(ScxFixture.families["llama"])
        for error in [LinkError.invalidRequest("this one"), .malformedFrame("this one")] {
            let link = FaultyLink(model.decoder)
            // The attention of the session of one token, in the third block: no other ever has so few.
            link.failure = { request, _ in
                guard case .attention(2, let parts) = request.operation else { return nil }
                return parts.contains { $0.keys == 1 } ? error : nil
            }
            let requests = requests(model)
            let found = try run(engine(model, ScxOptions(), link), requests)
            check(found, try alone(model, requests), except: [0])
            #expect(found.failures[0] == error)
            #expect(found.tokens[0].isEmpty)
        }
    }

    @Test("a worker without memory for all computes them one after the other")
    func full() throws {
        let model = try #require(ScxFixture.families["llama"])
        let link = FaultyLink(model.decoder)
        var refusals = 0
        link.failure = { request, _ in
            guard case .unlock = request.operation, refusals < 3 else { return nil }
            refusals += 1
            return .workerFull("for the test")
        }
        let requests = requests(model)
        check(try run(engine(model, ScxOptions(), link), requests), try alone(model, requests))
        #expect(refusals == 3)
    }

    @Test("prompts of which scores or embeddings are asked share nothing")
    func notShared() throws {
        let model = try #require(ScxFixture.families["llama"])
        let link = FaultyLink(model.decoder)
        var requests = requests(model, [12, 12, 12, 12])
        requests[0].promptAlternatives = 1
        requests[1] = greedy(requests[1].prompt, 0)
        requests[1].reading = .pooled([.mean])
        let found = try run(engine(model, ScxOptions(), link), requests)
        check(found, try alone(model, requests))
        #expect(link.rows(.headTopK).sorted() == [112, 124])
    }

    @Test("short prompts are together, a long one is not among them")
    func groups() {
        func groups(_ tokens: [Int], scheduled: Set<Int>, suspect: Set<Int> = [], later: Set<Int> = [])
            -> [[Int]]
        {
            let prompts = tokens.enumerated().map { place, count in
                UnbegunPrompt(
                    place: place, tokens: count, kind: later.contains(place) ? .later : .first,
                    isScheduled: scheduled.contains(place), isSuspect: suspect.contains(place))
            }
            return UnbegunPrompt.groups(of: prompts).map { $0.map(\.place) }
        }
        #expect(groups([20, 30, 10], scheduled: [0, 1, 2]) == [[2, 0, 1]])
        // The others join, but no group is begun for them.
        #expect(groups([20, 30, 10], scheduled: [1]) == [[1, 2, 0]])
        #expect(groups([20, 2_000, 10], scheduled: [0]) == [[0, 2]])
        #expect(groups([20, 2_000, 10], scheduled: [0, 1]) == [[0, 2], [1]])
        // It may double the work, or be short.
        #expect(groups([100, 100, 200, 400], scheduled: [0, 3]) == [[0, 1, 2], [3]])
        #expect(groups(Array(repeating: 100, count: 7), scheduled: [0]) == [[0, 1, 2, 3, 4]])
        #expect(groups([20, 30, 10, 15], scheduled: [0, 1, 2], suspect: [1, 3]) == [[2, 0], [1]])
        #expect(groups([20, 30, 10, 15], scheduled: [0, 1, 2, 3], later: [1, 3]) == [[2, 0], [3, 1]])
    }
}

import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// The profiles that take drafts, over real (random) models.
@Suite("speculation in the profiles")
struct SpeculationProfileTests {
    /// Makes engines of one profile over one model.
    private struct Profile {
        let model: ScxFixture
        let makeForward: () throws -> any ForwardPass

        func engine(_ drafter: (any Drafter)?) throws -> Engine {
            let configuration = model.checkpoint.configuration
            return Engine(
                forward: try makeForward(), tokenizer: nil, vocabularySize: configuration.vocabularySize,
                maximumLength: configuration.maximumLength, drafter: drafter)
        }
    }

    private static func profile(_ name: String, _ family: String) throws -> Profile {
        let model = try #require(ScxFixture.families[family])
        if name == "plain" {
            let worker = Worker(model: model.decoder)
            let embedding = try TokenEmbedding(model.checkpoint)
            return Profile(model: model) {
                PlainForwardPass(
                    embedding: embedding, configuration: model.checkpoint.configuration,
                    link: InProcessLink(worker))
            }
        }
        let ring = try RingModel(model.checkpoint, pool: ScxFixture.pool)
        let weights = try Decoder(model.checkpoint, format: .int8, pool: ScxFixture.pool)
        guard name == "sealed" else {
            return Profile(model: model) { RingForwardPass(fixedPoint: ring, weights: weights) }
        }
        let worker = Worker(model: weights)
        return Profile(model: model) {
            RingForwardPass(
                sealed: ring, workers: RingWorkers([("worker", [InProcessLink(worker)])]),
                bank: PadBank(sites: ring.sites, sources: [DirectPads(weights)]))
        }
    }

    private static func requests(_ model: ScxFixture, temperature: Float) -> [GenerationRequest] {
        (0..<4).map { number in
            let part = model.prompt(5 + number * 3, seed: number + 1)
            return SpeculationTests.request(
                part + part, 18 + number, temperature: temperature, seed: UInt64(number))
        }
    }

    /// In `plain` the worker sums in another order when it multiplies several rows.
    @Test(
        "the same tokens and log-probabilities, where products are of integers bit by bit",
        arguments: ["plain", "sealed", "fixed-point"], ["llama", "mistral"])
    func exact(name: String, family: String) throws {
        let profile = try Self.profile(name, family)
        for temperature in [0, 1] as [Float] {
            try SpeculationTests.check(
                Self.requests(profile.model, temperature: temperature),
                vocabulary: profile.model.checkpoint.configuration.vocabularySize,
                within: name == "plain" ? 1e-4 : 0
            ) { try profile.engine($0) }
        }
    }

    @Test("a draft model that is the model itself is right each time")
    func draftModel() throws {
        let profile = try Self.profile("plain", "llama")
        let model = DraftModel(
            embedding: try TokenEmbedding(profile.model.checkpoint), decoder: profile.model.decoder)
        let requests = Self.requests(profile.model, temperature: 0)
        let expected = try profile.engine(nil).transcripts(requests)
        let engine = try profile.engine(ModelDrafter(model, longest: 5))
        let found = try engine.transcripts(requests)
        for (found, expected) in zip(found, expected) {
            #expect(found.agrees(with: expected, within: 1e-4))
        }
        #expect(engine.speculation.accepted == engine.speculation.proposed)
        #expect(engine.speculation.accepted > engine.speculation.steps)
    }

    @Test("another model drafts: the same tokens, in conversations that go on and with answers cancelled")
    func otherModel() throws {
        let profile = try Self.profile("plain", "llama")
        let other = try ScxFixture(profile.model.checkpoint.configuration, seed: 8)
        let model = DraftModel(embedding: try TokenEmbedding(other.checkpoint), decoder: other.decoder)
        for temperature in [0, 1] as [Float] {
            var answers: [[Int32]] = []
            for drafter in [nil, ModelDrafter(model, longest: 3)] as [ModelDrafter?] {
                let engine = try profile.engine(drafter)
                var history: [Int32] = []
                var session: SessionID?
                for turn in 0..<4 {
                    // The second turn's prompt is longer than what the small model computes in one step.
                    history += profile.model.prompt([9, 300, 4, 1][turn], seed: turn + 1)
                    let request = SpeculationTests.request(history, 12, temperature: temperature)
                    var seen: [Int32] = []
                    let running = try engine.submit(request, continuing: session)
                    session = running
                    try engine.run(running) { event in
                        seen += event.token.map { [$0.id] } ?? []
                        return turn != 2 || seen.count < 5
                    }
                    history += seen
                }
                answers.append(history)
                if drafter != nil { #expect(engine.speculation.proposed > 0) }
            }
            #expect(answers[0] == answers[1])
        }
    }
}

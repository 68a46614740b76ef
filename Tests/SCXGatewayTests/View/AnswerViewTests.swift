import Foundation
import SCXEngine
import SCXGateway
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import SCXWorker
import Testing

@Suite("What the worker saw")
struct AnswerViewTests {
    /// "<|begin|><|user|>\nWhat are the symptoms of asthma?<|end|>\n<|assistant|>\n".
    static let prompt: [Int32] = [0, 3, 203, 363, 393, 281, 596, 316, 1304, 35, 1, 203, 4, 203]
    static let fixture = Result { try Fixture() }

    struct Fixture: Sendable {
        let checkpoint: Checkpoint
        let decoder: Decoder
        let profile: ModelProfile
        let view: WorkerView

        init() throws {
            let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent()
            let directory = root.appending(path: "Models/ward-3m")
            let pool = ThreadPool(threads: 2)
            checkpoint = try Checkpoint(directory: directory.path)
            decoder = try Decoder(checkpoint, format: .f32, pool: pool)
            let samples = ModelProfile.sampleTokens(vocabulary: checkpoint.configuration.vocabularySize)
            profile = try ModelProfile(
                measuring: checkpoint, tokens: Array(samples.prefix(64)), noiseScale: 50, pool: pool)
            view = WorkerView(
                checkpoint, format: .f32, tokenizer: try Tokenizer(directory: directory.path),
                chatFormat: try ChatFormat.load(directory: directory), threads: 2, budget: .seconds(300))
        }

        /// Answers the prompt alone on a tapped link; returns what was drawn.
        func run(
            _ name: String, _ tap: LinkTap, tokens: Int, prompt: [Int32] = prompt
        ) throws -> [Int32] {
            let link = TappedLink(InProcessLink(Worker(model: decoder)))
            let embedding = try TokenEmbedding(checkpoint)
            let configuration = checkpoint.configuration
            let forward: any ForwardPass =
                name == "plain"
                ? PlainForwardPass(embedding: embedding, configuration: configuration, link: link)
                : try ScxForwardPass(
                    embedding: embedding, layers: decoder, profile: profile, options: ScxOptions(),
                    link: link)
            let engine = Engine(
                forward: forward, tokenizer: nil, vocabularySize: configuration.vocabularySize,
                maximumLength: configuration.maximumLength)
            var sampling = SamplingParameters()
            sampling.temperature = 0
            var answer: [Int32] = []
            link.open(tap)
            let id = try engine.submit(
                GenerationRequest(prompt: prompt, maximumTokens: tokens, sampling: sampling))
            try engine.run(id) { event in
                if let token = event.token { answer.append(token.id) }
                return true
            }
            link.open(nil)
            let seen = tap.exchanges.count
            try engine.end(id)  // crosses the link, but no tap is open
            #expect(tap.exchanges.count == seen)
            return answer
        }
    }

    @Test(
        "plain is read by the nearest token, scx by what a permutation of channels leaves",
        arguments: ["plain", "scx"])
    func recovered(profile: String) throws {
        let fixture = try Self.fixture.get()
        let store = WorkerViewStore(fixture.view)
        let tap = store.begin()
        let answer = try fixture.run(profile, tap, tokens: 3)
        store.finish(tap, id: "a", profile: profile, prompt: Self.prompt, answer: answer)
        let view = try #require(try store.view("a"))

        #expect(view["profile"]?.string == profile)
        #expect(view["complete"]?.bool == true)
        // All frames are listed, and their bytes are those that the link counted.
        let frames = try #require(view["frames"]?.array)
        #expect(frames.count == 2 * tap.exchanges.count)
        let sent = frames.filter { $0["direction"]?.string == "to worker" }.compactMap { $0["bytes"]?.int }
        #expect(sent.reduce(0, +) == tap.exchanges.reduce(0) { $0 + $1.request.byteCount })
        #expect(view["totals"]?["bytes_to_worker"]?.int == sent.reduce(0, +))
        #expect(view["totals"]?["frames"]?.int == frames.count)

        let pictures = try #require(view["pictures"]?.array)
        #expect(pictures.count >= 2)
        for picture in pictures {
            let data = try #require(Data(base64Encoded: picture["data"]?.string ?? ""))
            let (width, height) = (picture["width"]?.int ?? 0, picture["height"]?.int ?? 0)
            #expect(data.count == width * height && (1...64 * 64).contains(data.count))
        }

        // The chat template is known, the token drawn last never left.
        let states = try #require(view["tokens"]?.array).map { $0["state"]?.string ?? "" }
        #expect(states.count == Self.prompt.count + answer.count)
        #expect(states.indices.filter { states[$0] == "known" } == [0, 1, 2, 10, 11, 12, 13])
        #expect(states.last == "kept" && states.count { $0 == "kept" } == 1)

        let attacks = try #require(view["attacks"]?.array)
        func share(_ name: String) -> [Int?] {
            let attack = attacks.first { $0["name"]?.string == name }
            return [attack?["recovered"]?["right"]?.int, attack?["recovered"]?["of"]?.int]
        }
        if profile == "plain" {
            #expect(share("nearest-input") == [9, 9])
        } else {
            // Noise leaves it chance, and the rows of the prompt no order.
            #expect((share("nearest-input")[0] ?? 9) <= 2)
            #expect(share("norms") == [9, 9])
            #expect(share("sorted-values") == [9, 9])
            #expect(share("known-token-key") == [9, 9])
        }
        let best = try #require(attacks.first { $0["recovered"]?["right"]?.int == 9 })
        let text = try #require(best["tokens"]?.array).map { $0["text"]?.string ?? "" }.joined()
        #expect(text.contains("What are the symptoms of asthma?"))
        let notRun = try #require(view["attacks_not_run"]?.array).compactMap { $0["name"]?.string }
        #expect(notRun.contains("vocabulary-middle"))

        #expect(try store.view("a") == nil)  // given out once
    }

    @Test("a tap ends before its limit and says so")
    func limit() throws {
        let fixture = try Self.fixture.get()
        let tap = LinkTap(limit: 24_000)
        let answer = try fixture.run("plain", tap, tokens: 3)
        #expect(!tap.isComplete && !tap.exchanges.isEmpty)
        #expect(tap.exchanges.reduce(0) { $0 + $1.request.byteCount + $1.answer.byteCount } <= 24_000)
        // Even nothing at all can be shown.
        let capture = WorkerCapture(
            profile: "plain", prompt: Self.prompt, answer: answer, exchanges: [], isComplete: false)
        let view = try fixture.view.view(of: capture)
        #expect(view["complete"]?.bool == false)
        #expect(view["attacks"]?.array?.isEmpty == true)
    }

    @Test("captures are kept for their key, a few of them, for some minutes")
    func kept() async throws {
        let fixture = try Self.fixture.get()
        let clock = TestClock()
        let store = WorkerViewStore(fixture.view, limit: 2, patience: .seconds(600)) { clock.now }
        for id in ["a", "b", "c"] {
            store.finish(
                store.begin(), id: id, key: "mine", profile: "plain", prompt: Self.prompt, answer: [])
        }
        #expect(store.count == 2)
        #expect(try store.view("a", key: "mine") == nil)
        #expect(try store.view("b", key: "another") == nil)
        #expect(try store.view("b", key: "mine") != nil)
        clock.advance(by: .seconds(601))
        #expect(store.count == 0)
        let request = APIRequest(body: ["id": "c"], key: "mine")
        await #expect(throws: APIError.self) { try await store.reply(to: request) }
        await #expect(throws: APIError.self) { try await store.reply(to: APIRequest(body: ["id": 3])) }
    }
}

/// A clock that a test moves.
private final class TestClock: @unchecked Sendable {
    private(set) var now = ContinuousClock.now

    func advance(by duration: Duration) { now += duration }
}

import Foundation
import Logging
import SCXEngine
import SCXGateway
import SCXInference
import SCXProfiles
import SCXText
import SCXWorker
import Testing

@Suite("embedding and reranking by encoders")
struct RerankTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/encoders").path

    /// Answers with an encoder of which sentence-transformers has computed something, and that.
    private func served(_ name: String, scores: Bool) throws -> (answers: ModelAnswers, expected: JSON) {
        let directory = Self.folder + "/" + name
        let checkpoint = try Checkpoint(directory: directory)
        let decoder = try Decoder(checkpoint, format: .f32, pool: ThreadPool(threads: 1))
        let forward = PlainForwardPass(
            embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
            link: InProcessLink(Worker(model: decoder)))
        let tokenizer = try Tokenizer(directory: directory)
        let modules = try SentenceModules(checkpoint)
        let profile = ServedProfile(
            .named("plain"),
            loop: EngineLoop {
                Engine(
                    forward: forward, tokenizer: tokenizer,
                    vocabularySize: checkpoint.configuration.vocabularySize,
                    maximumLength: checkpoint.configuration.maximumLength)
            })
        let model = ServedModel(
            name: "tiny", tokenizer: tokenizer, chatFormat: nil, stopTokens: [],
            configuration: checkpoint.configuration,
            embedder: TextEmbedder(modules, tokenizer: tokenizer, configuration: checkpoint.configuration),
            scorer: scores ? try PairScorer(checkpoint, modules, tokenizer: tokenizer) : nil,
            scorerFault: scores ? nil : "\(EmbeddingError.noScores)", profiles: [profile])
        let observer = ServerObserver(
            metrics: ServerMetrics(model: "tiny", profiles: ["plain"]), logger: Logger(label: "test"))
        return (
            ModelAnswers(model, observer: observer),
            try JSON(file: directory + "/expected.json", limit: 1 << 20)
        )
    }

    @Test("documents come in the order of sentence-transformers' scores")
    func reranks() async throws {
        let (answers, expected) = try served("rerank-bert", scores: true)
        let pairs = (expected["pairs"]?.array ?? []).prefix(4).compactMap { $0.array?.compactMap(\.string) }
        let scores = (expected["scores"]?.array ?? []).prefix(4).compactMap(\.double)
        try #require(pairs.count == 4 && scores.count == 4)
        let body: JSON = [
            "query": .string(pairs[0][0]), "documents": .array(pairs.map { .string($0[1]) }),
            "truncate_prompt_tokens": -1, "top_n": 3, "return_documents": true,
        ]
        let reply = try whole(try await Reranking.reply(asking(body.text), answers)).json
        let results = reply["results"]?.array ?? []
        let order = scores.indices.sorted { scores[$0] > scores[$1] }.prefix(3)
        #expect(results.compactMap { $0["index"]?.int } == Array(order))
        for (result, index) in zip(results, order) {
            #expect(abs((result["relevance_score"]?.double ?? -1) - scores[index]) < 2e-5)
            #expect(result["document"]?["text"]?.string == pairs[index][1])
        }
        let error = try await fault(
            #"{"query":"a","documents":["\#(String(repeating: "pain ", count: 40))"]}"#, Reranking.reply,
            answers)
        #expect(error?.status == 400 && error?.code == "context_length_exceeded")
    }

    @Test(
        "a wrong field is refused by name",
        arguments: [
            (#"{"documents":["a"]}"#, "query"), (#"{"query":"a"}"#, "documents"),
            (#"{"query":"a","documents":[]}"#, "documents"),
            (#"{"query":"a","documents":[1]}"#, "documents[0]"),
            (#"{"query":"a","documents":["b"],"top_n":0}"#, "top_n"),
            (#"{"query":"a","documents":["b"],"rank_fields":["c"]}"#, "rank_fields"),
        ])
    func wrongFields(_ body: String, _ param: String) async throws {
        let answers = try served("rerank-bert", scores: true).answers
        #expect(try await fault(body, Reranking.reply, answers)?.param == param)
    }

    @Test("an encoder embeds as sentence-transformers does, and neither scores pairs nor generates")
    func embeds() async throws {
        let (answers, expected) = try served("sentence-mean", scores: false)
        let texts = (expected["texts"]?.array ?? [])
        let vectors = (expected["default"]?.array ?? []).map { ($0.array ?? []).compactMap(\.double) }
        // sentence-transformers leaves out the end of texts that are too long.
        let body: JSON = ["input": .array(texts), "truncate_prompt_tokens": .int(-1)]
        let reply = try whole(try await Embeddings.reply(asking(body.text), answers)).json
        let found = (reply["data"]?.array ?? []).map { ($0["embedding"]?.array ?? []).compactMap(\.double) }
        try #require(found.count == vectors.count && !found.isEmpty)
        for (a, b) in zip(found, vectors) {
            #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 } && a.count == b.count)
        }
        let pair = try await fault(#"{"query":"a","documents":["b"]}"#, Reranking.reply, answers)
        #expect(pair?.code == "not_a_reranker")
        let long = String(repeating: "pain ", count: 40)
        let error = try await fault(#"{"input":"\#(long)"}"#, Embeddings.reply, answers)
        #expect(error?.status == 400 && error?.code == "context_length_exceeded")
        let chat = try await fault(#"{"prompt":"a","max_tokens":1}"#, Completions.reply, answers)
        #expect(chat?.status == 400 && chat?.message.contains("does not generate") == true)
    }
}

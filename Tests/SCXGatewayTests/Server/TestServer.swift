import Foundation
import Logging
import SCXEngine
import SCXGateway
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import SCXWorker
import Synchronization

/// A server of the bundled model on a free port, with its worker in this process.
final class TestServer: Sendable {
    let port: Int
    let metrics: ServerMetrics
    /// Lines that were logged.
    var log: String { lines.withLock { $0 } }
    /// Prepares requests.
    let work: WorkPool
    private let lines: Lines
    private let task: Task<Void, any Error>
    private let loops: [EngineLoop]

    private final class Lines: Sendable {
        private let text = Mutex("")
        func withLock<Result>(_ body: (inout sending String) -> sending Result) -> Result {
            text.withLock(body)
        }
    }

    /// Shared by tests that need nothing special.
    static let shared = Task { try await TestServer() }

    private static let fixture = Result { try Fixture() }

    private struct Fixture: Sendable {
        let checkpoint: Checkpoint
        let decoder: Decoder
        let profile: ModelProfile
        let tokenizer: Tokenizer
        let format: ChatFormat?

        init() throws {
            let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Models/ward-3m")
            let pool = ThreadPool(threads: 2)
            checkpoint = try Checkpoint(directory: directory.path)
            decoder = try Decoder(checkpoint, format: .f32, pool: pool)
            let samples = ModelProfile.sampleTokens(vocabulary: checkpoint.configuration.vocabularySize)
            profile = try ModelProfile(
                measuring: checkpoint, tokens: Array(samples.prefix(64)), noiseScale: 50, pool: pool)
            tokenizer = try Tokenizer(directory: directory.path)
            format = try ChatFormat.load(directory: directory)
        }
    }

    init(
        limits: EngineLoop.Limits = .unhurried, format: ChatFormat? = nil,
        _ configure: (inout GatewayServer.Options) throws -> Void = { _ in }
    ) async throws {
        let fixture = try Self.fixture.get()
        let (checkpoint, decoder) = (fixture.checkpoint, fixture.decoder)
        let links = (0..<2).map { _ in TappedLink(InProcessLink(Worker(model: decoder))) }
        let forwards: [any ForwardPass] = [
            PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                link: links[0]),
            try ScxForwardPass(
                embedding: try TokenEmbedding(checkpoint), layers: decoder, profile: fixture.profile,
                options: ScxOptions(), link: links[1]),
        ]
        let profiles = zip(["plain", "scx"], zip(forwards, links)).map { name, parts in
            ServedProfile(
                .named(name),
                loop: EngineLoop(limits: limits) {
                    Engine(
                        forward: parts.0, tokenizer: fixture.tokenizer,
                        vocabularySize: checkpoint.configuration.vocabularySize,
                        maximumLength: checkpoint.configuration.maximumLength)
                }, links: [parts.1])
        }
        let model = ServedModel(
            name: "ward-3m", tokenizer: fixture.tokenizer, chatFormat: format ?? fixture.format,
            stopTokens: [1],
            configuration: checkpoint.configuration, profiles: profiles)
        let lines = Lines()
        let logger = Logger(label: "scx") { label in
            RedactedLog(label: label, level: .trace) { line in lines.withLock { $0 += line } }
        }
        let metrics = ServerMetrics(model: model.name, profiles: ["plain", "scx"])
        let observer = ServerObserver(metrics: metrics, logger: logger)
        let views = WorkerViewStore(
            WorkerView(
                checkpoint, format: .f32, tokenizer: fixture.tokenizer, chatFormat: fixture.format, threads: 2
            ))
        var routes = RouteTable(
            answers: ModelAnswers(model, observer: observer, views: views), responses: ResponseStore(),
            metrics: metrics, facts: [])
        routes.addPage(views: views)
        var options = GatewayServer.Options()
        options.port = 0
        // A busy machine is no slow client; tests of time limits set them.
        options.limits.headerTime = .seconds(86_400)
        options.limits.bodyTime = .seconds(86_400)
        options.limits.clientTime = .seconds(86_400)
        try configure(&options)
        let server = GatewayServer(options: options, routes: routes, observer: observer)
        let (ports, found) = AsyncStream<Int>.makeStream()
        let task = Task {
            defer { found.finish() }
            try await server.run { found.yield($0) }
        }
        guard let port = await ports.first(where: { _ in true }) else {
            try await task.value
            throw CancellationError()
        }
        (self.port, self.metrics, self.lines, self.task) = (port, metrics, lines, task)
        work = model.work
        loops = profiles.map(\.loop)
    }

    deinit { task.cancel() }

    /// Requests that wait.
    var waiting: Int { loops.reduce(0) { $0 + $1.load.waiting } }

    /// Requests that are computed or wait.
    var busy: Int { loops.reduce(0) { $0 + $1.load.running + $1.load.waiting } }

    /// Waits until nothing is computed.
    func becomesIdle() async -> Bool {
        for _ in 0..<60_000 {
            if busy == 0 { return true }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return false
    }

    func send(
        _ method: String, _ path: String, _ headers: [String: String] = [:], _ body: String? = nil
    ) async throws -> HTTPReply {
        let port = port
        return try await off {
            let connection = try HTTPConnection(port: port)
            connection.request(method, path, headers, body: body.map { Array($0.utf8) })
            return try connection.reply()
        }
    }

    func post(_ path: String, _ body: JSON, _ headers: [String: String] = [:]) async throws -> HTTPReply {
        try await send("POST", path, headers, body.text)
    }

    /// A greedy answer.
    func chat(
        _ question: String, profile: String = "plain", tokens: Int = 16, _ more: [JSON.Member] = [],
        _ headers: [String: String] = [:]
    ) async throws -> HTTPReply {
        let body: [JSON.Member] = [
            .init("messages", [["role": "user", "content": .string(question)]]),
            .init("temperature", .int(0)),
            .init("max_tokens", .int(tokens)),
        ]
        return try await post(
            "/v1/chat/completions", .object(body + more),
            headers.merging(["x-scx-profile": profile]) { own, _ in own })
    }
}

extension HTTPReply {
    /// The text of the first choice.
    var answer: String? { json["choices"]?.array?.first?["message"]?["content"]?.string }

    var cachedTokens: Int? { json["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int }

    var errorCode: String? { json["error"]?["code"]?.string }
}

extension EngineLoop.Limits {
    /// Limits under which a conversation is never forgotten for the time that a test waited for its turn.
    static var unhurried: Self {
        var limits = Self()
        limits.idle = .seconds(86_400)
        return limits
    }
}

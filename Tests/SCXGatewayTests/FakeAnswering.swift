import Foundation
import SCXEngine
import SCXGateway
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import Synchronization
import Testing

/// Answers with given events, and remembers what was asked.
final class FakeAnswering: Answering {
    /// What becomes of a request: events, then perhaps an error.
    struct Script: Sendable {
        var prompt: [Int32] = [1, 2, 3]
        var events: [ChatEvent] = []
        var failure: APIError?
    }

    let model: ServedModel
    private let script: @Sendable (ChatRequest) throws(APIError) -> Script
    private let asked = Mutex<[ChatRequest]>([])

    /// The requests so far.
    var requests: [ChatRequest] { asked.withLock { $0 } }

    init(
        model: ServedModel, script: @escaping @Sendable (ChatRequest) throws(APIError) -> Script
    ) {
        self.model = model
        self.script = script
    }

    convenience init(_ events: [ChatEvent], failure: APIError? = nil) throws {
        let script = Script(events: events, failure: failure)
        self.init(model: try .fake()) { _ in script }
    }

    func chat(_ request: ChatRequest) async throws(APIError) -> RunningChat {
        asked.withLock { $0.append(request) }
        let script = try script(request)
        let (events, continuation) = AsyncThrowingStream<ChatEvent, any Error>.makeStream()
        for event in script.events { continuation.yield(event) }
        continuation.finish(throwing: script.failure)
        let profile = try model.profile(named: request.profile).name
        return RunningChat(prompt: script.prompt, profile: profile, events: events)
    }

    func embed(_ embedding: EmbeddingRequest) async throws(APIError) -> [TextReading] {
        var readings: [TextReading] = []
        for input in embedding.inputs {
            var request = ChatRequest(prompt: input)
            (request.key, request.profile) = (embedding.key, embedding.profile)
            asked.withLock { $0.append(request) }
            switch input {
            case .text(let text):
                readings.append(TextReading(reading: [1, -0.5], promptTokens: text.utf8.count))
            case .tokens(let tokens):
                readings.append(TextReading(reading: [0.25, 2], promptTokens: tokens.count))
            case .messages: throw .invalid("messages are not embedded")
            }
        }
        return readings
    }

    func rerank(_ request: RerankRequest) async throws(APIError) -> [TextReading] {
        throw .invalid("nothing is scored here")
    }
}

/// Computes nothing, for engines that no test asks.
private final class NoForwardPass: ForwardPass {
    var traffic = Traffic()
    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        throw .invalidRequest("nothing is computed here")
    }
    func end(_ slot: Slot) {}
}

extension ProfileFacts {
    /// Those of a profile that there is.
    static func named(_ name: String) -> ProfileFacts {
        all.first { $0.name == name } ?? ProfileFacts(name: name, sees: "?", hides: "?", leaks: "?")
    }
}

extension ServedModel {
    /// A model named `tiny` with the profiles `plain` and `scx`, whose engines compute nothing.
    static func fake(
        tokenizer: String? = "gpt2",
        template: String? = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
        fault: String? = nil, aliases: [String] = []
    ) throws -> ServedModel {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures")
        func json(_ path: String) throws -> JSON {
            let bytes = [UInt8](try Data(contentsOf: fixtures.appending(path: path)))
            return try JSON(parsing: bytes.span)
        }
        let profiles = ["plain", "scx"].map { name in
            ServedProfile(
                .named(name),
                loop: EngineLoop {
                    Engine(forward: NoForwardPass(), tokenizer: nil, vocabularySize: 1000, maximumLength: 256)
                })
        }
        return ServedModel(
            name: "tiny",
            tokenizer: try tokenizer.map {
                try Tokenizer(json: json("tokenizers/\($0).json"), name: "\($0).json")
            },
            chatFormat: try template.map {
                ChatFormat(template: try ChatTemplate(source: $0, name: "template"))
            }, chatFault: fault,
            stopTokens: [0],
            configuration: try DecoderConfiguration(
                json: json("parity/llama-gqa2/config.json"), path: "config.json"),
            profiles: profiles, aliases: aliases)
    }
}

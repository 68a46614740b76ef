import Foundation
import Logging
import SCXEngine
import SCXGateway
import SCXImages
import SCXInference
import SCXProfiles
import SCXText
import SCXWorker
import Testing

@Suite("pictures in conversations")
struct PictureTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/picture-chats")
        .path

    /// Answers with a model that `Tools/make-picture-chat-fixtures.py` wrote, and what transformers answers.
    private func served(_ name: String) throws -> (answers: ModelAnswers, expected: JSON) {
        let directory = Self.folder + "/" + name
        let checkpoint = try Checkpoint(directory: directory)
        let pool = ThreadPool(threads: 1)
        let forward = PlainForwardPass(
            embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
            link: InProcessLink(Worker(model: try Decoder(checkpoint, format: .f32, pool: pool))),
            pictures: try PictureModel(checkpoint, pool: pool))
        let tokenizer = try Tokenizer(directory: directory)
        let profile = ServedProfile(
            .named("plain"),
            loop: EngineLoop {
                Engine(
                    forward: forward, tokenizer: tokenizer,
                    vocabularySize: checkpoint.configuration.vocabularySize,
                    maximumLength: checkpoint.configuration.maximumLength)
            })
        let model = ServedModel(
            name: "tiny", tokenizer: tokenizer,
            chatFormat: try ChatFormat.load(directory: URL(filePath: directory)), stopTokens: [],
            configuration: checkpoint.configuration, pictures: PictureReader(checkpoint),
            profiles: [profile])
        let observer = ServerObserver(
            metrics: ServerMetrics(model: "tiny", profiles: ["plain"]), logger: Logger(label: "test"))
        return (
            ModelAnswers(model, observer: observer),
            try JSON(file: directory + "/expected.json", limit: 1 << 20)
        )
    }

    /// A picture of a fixture as a data URL.
    private func address(_ model: String, _ picture: String) throws -> String {
        let file = try Data(contentsOf: URL(filePath: "\(Self.folder)/\(model)/\(picture).png"))
        return "data:image/png;base64," + file.base64EncodedString()
    }

    private func body(_ parts: [JSON]) -> String {
        let body: JSON = [
            "messages": [["role": "user", "content": .array(parts)]], "max_tokens": 4, "temperature": 0,
        ]
        return body.text
    }

    private func picture(_ address: String) -> JSON {
        ["type": "image_url", "image_url": ["url": .string(address)]]
    }

    @Test(
        "a question about two pictures has the tokens and the answer that transformers gives",
        arguments: ["llava", "gemma3"])
    func answers(name: String) async throws {
        let (answers, expected) = try served(name)
        let message = try ChatMessage(
            parsing: [
                "role": "user",
                "content": [
                    picture(try address(name, "one")), ["type": "text", "text": "What is this?"],
                    picture(try address(name, "two")),
                ],
            ])
        var request = ChatRequest(prompt: .messages([message]))
        let greedy = (expected["greedy"]?.array ?? []).compactMap(\.int)
        request.sampling.temperature = 0
        request.maximumTokens = greedy.count
        request.ignoresEnd = true
        let running = try await answers.chat(request)
        #expect(running.prompt.map(Int.init) == (expected["tokens"]?.array ?? []).compactMap(\.int))
        var tokens: [Int] = []
        for try await event in running.events {
            if case .text(_, let drawn) = event.kind { tokens += drawn.map { Int($0.id) } }
        }
        #expect(greedy.count == 24 && tokens == greedy)
    }

    @Test("text alone is answered, and a text that has a picture's token without one is refused")
    func texts() async throws {
        let (answers, _) = try served("llava")
        let question: JSON = ["type": "text", "text": "What is this?"]
        let reply = try whole(try await ChatCompletions.reply(asking(body([question])), answers))
        #expect(reply.json["usage"]?["completion_tokens"]?.int ?? 0 > 0)
        let token: JSON = ["type": "text", "text": "an <image> of what?"]
        let error = try await fault(body([token]), ChatCompletions.reply, answers)
        #expect(error?.status == 400 && error?.message.contains("1 times '<image>'") == true)
    }

    @Test(
        "a picture that cannot be read is refused in one line, and nothing is fetched",
        arguments: [
            ("https://example.org/cat.png", "fetches nothing"), ("file:///etc/passwd", "not a data URL"),
            ("data:image/png;base64,AAAA", "neither PNG, JPEG nor WebP"),
            ("data:image/png;base64,iVBORw0KGgo=", "PNG picture is damaged"),
        ])
    func refuses(address: String, reason: String) async throws {
        let (answers, _) = try served("gemma3")
        let error = try await fault(body([picture(address)]), ChatCompletions.reply, answers)
        #expect(error?.status == 400 && error?.message.hasPrefix("Picture 1: ") == true)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("\n") == false)
    }

    @Test("too many pictures are refused before one is read")
    func tooMany() async throws {
        let (answers, _) = try served("gemma3")
        let parts = Array(repeating: picture("data:,"), count: PictureReader.mostPictures + 1)
        let error = try await fault(body(parts), ChatCompletions.reply, answers)
        #expect(error?.status == 400 && error?.message.contains("17 pictures") == true)
    }

    @Test("a model without an image processor answers texts, and says why it takes no pictures")
    func noProcessor() throws {
        let checkpoint = try Checkpoint(
            directory: Self.folder.replacing("picture-chats", with: "vision/llava"))
        let reader = try #require(PictureReader(checkpoint))
        #expect(reader.fault?.description.contains("preprocessor_config.json") == true)
        #expect(try reader.prompt("text", []) == "text")
        var room = 1 << 20
        let error = #expect(throws: ImageError.self) { try reader.pixels(ofFile: [], room: &room) }
        #expect(error?.description.contains("preprocessor_config.json") == true)
    }

    @Test("all pictures of a request share one number of pixels")
    func room() throws {
        let checkpoint = try Checkpoint(directory: Self.folder + "/llava")
        let reader = try #require(PictureReader(checkpoint))
        let address = try address("llava", "one")
        var room = 2 * 23 * 37 - 1
        _ = try reader.pixels(ofAddress: address, room: &room)
        #expect(room == 23 * 37 - 1)
        #expect(throws: ImageError.self) { try reader.pixels(ofAddress: address, room: &room) }
    }

    @Test("a model of texts has no reader of pictures")
    func textModel() throws {
        let checkpoint = try Checkpoint(
            directory: Self.folder.replacing("picture-chats", with: "parity/llama-gqa2"))
        #expect(PictureReader(checkpoint).map { _ in true } == nil)
    }
}

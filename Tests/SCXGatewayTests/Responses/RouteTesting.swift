import SCXGateway
import SCXInference
import SCXText
import Testing

// What the tests of the Responses interface and of Anthropic's share.

extension FakeAnswering {
    /// Answers every request with these events.
    convenience init(telling kinds: [ChatEvent.Kind], failure: APIError? = nil) throws {
        let script = Script(events: kinds.map { ChatEvent(choice: 0, $0) }, failure: failure)
        self.init(model: try Self.model.get()) { _ in script }
    }

    /// Read once: debug builds read a tokenizer slowly.
    private static let model = Result { try ServedModel.fake() }

    /// Says a text and ends.
    convenience init(saying text: String) throws {
        try self.init(telling: [.text(text, tokens: []), .finished(.end, .example)])
    }

    /// The messages of the last request, as templates read them.
    var messages: String? {
        guard case .messages(let messages) = requests.last?.prompt else { return nil }
        return JSON.array(messages.map(\.json)).text
    }
}

extension ChatUsage {
    static var example: ChatUsage {
        var usage = ChatUsage()
        (usage.promptTokens, usage.answerTokens, usage.cachedTokens) = (12, 3, 4)
        (usage.exchanges, usage.bytesSent, usage.bytesReceived) = (5, 600, 700)
        return usage
    }

    /// The costs of `example` as replies tell them.
    static let exampleCosts =
        #"{"profile":"plain","exchanges":5,"bytes_sent":600,"bytes_received":700,"pads":0}"#
}

// MARK: Replies

/// A request with this body.
func request(_ body: String, name: String? = nil, key: String = "", profile: String? = nil) throws
    -> APIRequest
{
    APIRequest(name: name, body: try JSON(parsing: body), key: key, profile: profile)
}

extension APIReply {
    /// The reply's JSON; its random names and its times are made equal.
    func json() throws -> String {
        guard case .json(let json, _) = self else { throw WrongReply() }
        return Self.steady(json.text, id: json["id"]?.string)
    }

    /// The reply's events as they are sent, made equal in the same way.
    func events() async throws -> [String] {
        guard case .events(let events, _) = self else { throw WrongReply() }
        var texts: [String] = []
        var id: String?
        for try await event in events {
            let json = try JSON(parsing: event.data)
            #expect(event.name == json["type"]?.string)
            id = id ?? json["response"]?["id"]?.string ?? json["message"]?["id"]?.string
            texts.append(Self.steady(event.data, id: id))
        }
        return texts
    }

    private static func steady(_ text: String, id: String?) -> String {
        let name = (id ?? "").drop { $0 != "_" }.dropFirst()
        return text.replacing(String(name), with: name.isEmpty ? "" : "X")
            .replacing(#/"created_at":\d+/#, with: #""created_at":0"#)
    }
}

struct WrongReply: Error {}

/// The error that a route throws.
func failure(_ body: () async throws -> APIReply) async -> APIError? {
    do { _ = try await body() } catch { return error as? APIError }
    return nil
}

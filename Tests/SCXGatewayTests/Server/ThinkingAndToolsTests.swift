import SCXInference
import SCXText
import Testing

/// The bundled model with templates in the manner of other families: what it writes is nonsense, but held to a grammar.
@Suite("thinking and tools of other families")
struct ThinkingAndToolsTests {
    static func server(_ source: String) async throws -> TestServer {
        let template = try ChatTemplate(source: source, name: "test")
        return try await TestServer(format: ChatFormat(template: template))
    }

    static let turns = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"

    @Test(
        "a call that is asked for is made, in the family's own way",
        arguments: [
            "<tool_call><function=f><parameter=p>", "<tool_call><arg_key>", "<minimax:tool_call>",
            "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜>", "<|tool_call_start|>", "<|START_ACTION|>",
            "<|channel|>commentary to=functions.f<|message|>",
        ])
    func required(mark: String) async throws {
        let source = Self.turns + "{{ tools | tojson if tools }}{# \(mark) #}<|assistant|>\n"
        let server = try await Self.server(source)
        let schema: JSON = [
            "type": "object", "additionalProperties": false, "required": ["age", "sex"],
            "properties": [
                "age": ["type": "integer", "minimum": 0, "maximum": 120], "sex": ["enum": ["f", "m"]],
            ],
        ]
        let tool: JSON = ["type": "function", "function": ["name": "find_patient", "parameters": schema]]
        // Without the choice of thinking first, which this model would never end.
        let reply = try await server.chat(
            "Find Ann.", tokens: 240, [.init("tools", [tool]), .init("tool_choice", "required")])
        let choice = reply.json["choices"]?.array?.first
        let call = choice?["message"]?["tool_calls"]?.array?.first
        let isHarmony = mark.hasPrefix("<|channel|>")
        guard !isHarmony || call != nil else { return }
        #expect(choice?["finish_reason"]?.string == "tool_calls")
        #expect(call?["function"]?["name"]?.string == "find_patient")
        let arguments = try JSON(parsing: call?["function"]?["arguments"]?.string ?? "")
        #expect(arguments["age"]?.int != nil && ["f", "m"].contains(arguments["sex"]?.string))
        let id = call?["id"]?.string ?? ""
        #expect(mark.contains("section") ? id == "functions.find_patient:0" : id.hasPrefix("call_"))
    }

    @Test("what follows a thinking mark of the prompt is thought")
    func thinks() async throws {
        let server = try await Self.server(Self.turns + "<|assistant|>\n<think>\n{# </think> #}")
        let reply = try await server.chat("Hello", tokens: 6)
        let message = reply.json["choices"]?.array?.first?["message"]
        #expect(message?["content"] == "")
        #expect(message?["reasoning_content"]?.string?.isEmpty == false)
        #expect(reply.json["usage"]?["completion_tokens_details"]?["reasoning_tokens"]?.int == 6)
        let hidden = try await server.chat("Hello", tokens: 6, [.init("include_reasoning", false)])
        #expect(hidden.json["choices"]?.array?.first?["message"]?["reasoning_content"] == nil)
    }

    @Test("an answer goes on with the assistant's last words")
    func continues() async throws {
        let server = try await TestServer.shared.value
        let messages: JSON = [
            ["role": "user", "content": "Who is ill?"], ["role": "assistant", "content": "The patient is"],
        ]
        let asked: [JSON.Member] = [
            .init("messages", messages), .init("temperature", 0), .init("max_tokens", 5),
        ]
        let chat = try await server.post("/v1/chat/completions", .object(asked))
        let answer = chat.json["choices"]?.array?.first?["message"]?["content"]?.string
        let tokens = try await server.post("/tokenize", ["messages": messages]).json["tokens"]?.array ?? []
        let text = try await server.post("/detokenize", ["tokens": .array(tokens)]).json["prompt"]?.string
        #expect(text?.hasSuffix("The patient is") == true)
        let completion = try await server.post(
            "/v1/completions", ["prompt": .array(tokens), "temperature": 0, "max_tokens": 5])
        #expect(answer == completion.json["choices"]?.array?.first?["text"]?.string)
        let closed = try await server.post(
            "/tokenize", ["messages": messages, "add_generation_prompt": true]
        ).json["tokens"]?.array
        #expect((closed?.count ?? 0) > tokens.count)
    }
}

import Foundation
import SCXInference
import SCXText
import Testing

@Suite("conversations with tools")
struct ToolConversationTests {
    static let tokens: [JSON.Member] = [.init("bos_token", "<s>"), .init("eos_token", "</s>")]
    static let tool: JSON = [
        "type": "function",
        "function": ["name": "clock", "description": "The time <now>", "parameters": [:]],
    ]

    static func format(_ name: String) throws -> ChatFormat {
        let source = try #require(try ChatTemplateTests.fixture("\(name).json")["template"]?.string)
        return ChatFormat(template: try ChatTemplate(source: source, name: name), specialTokens: tokens)
    }

    static func prompt(_ format: ChatFormat, _ messages: [ChatMessage], tools: [JSON]? = [tool]) throws
        -> String
    {
        try format.prompt(messages, tools: tools) { ChatTemplateTests.date }
    }

    static let called = [
        ChatMessage(role: "user", content: "Time?"),
        ChatMessage(
            role: "assistant", content: nil,
            toolCalls: [ToolCall(id: "call_a", name: "clock", arguments: "{\"zone\":\"☔\"}")]),
        ChatMessage(role: "tool", content: "noon", toolCallID: "call_a"),
    ]

    @Test("what clients send becomes what apply_chat_template is given")
    func sent() throws {
        let fixture = try ChatTemplateTests.fixture("tool-conversations.json")
        let runs = try #require(fixture["runs"]?.array)
        #expect(runs.count == 50)
        for run in runs {
            let name = try #require(run["template"]?.string)
            let title = try #require(run["conversation"]?.string)
            let conversation = try #require(fixture["conversations"]?[title])
            var messages: [ChatMessage] = []
            for message in conversation["messages"]?.array ?? [] {
                messages.append(try ChatMessage(parsing: message))
            }
            let format = try Self.format(name)
            do {
                let text = try Self.prompt(format, messages, tools: conversation["tools"]?.array)
                if let expected = run["expected"]?.string {
                    #expect(text == expected, "\(name), \(title)")
                } else {
                    // Tools and calls that a template cannot write stand in a message.
                    #expect(text.contains("<tools>") || text.contains("not JSON"), "\(name), \(title)")
                }
            } catch {
                #expect(run["error"] != nil, "\(name), \(title): \(error)")
            }
        }
    }

    @Test(
        "a template without tools gets them as texts",
        arguments: [
            "chatml", "turns", "inst-system-merged", "headers", "model-turns", "parts", "sentence-marks",
            "end-marks",
        ])
    func fallback(name: String) throws {
        let format = try Self.format(name)
        let system = ChatMessage(role: "system", content: "Be brief.")
        let thanks = ChatMessage(role: "user", content: "Thanks")
        let text = try Self.prompt(format, [system] + Self.called + [thanks])
        let parts = [
            "Be brief.", "<tools>\n" + Self.tool.text + "\n</tools>", "Time?",
            "<tool_call>\n{\"name\": \"clock\", \"arguments\": {\"zone\":\"☔\"}}\n</tool_call>",
            "<tool_response>\nnoon\n</tool_response>\nThanks",
        ]
        var rest = text[...]
        for part in parts {
            let range = rest.range(of: part)
            #expect(range != nil, "\(part)")
            if let range { rest = rest[range.upperBound...] }
        }
        // A question alone, and a conversation that goes on without tools.
        #expect(try Self.prompt(format, [thanks]).contains(parts[1]))
        let without = try Self.prompt(format, Self.called, tools: nil)
        #expect(without.contains("<tool_response>") && !without.contains("<tools>"))
        #expect(try Self.prompt(format, [thanks], tools: []) == Self.prompt(format, [thanks], tools: nil))
    }

    @Test("the bundled model can be asked with tools")
    func bundled() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../../Models/ward-3m")
        let format = try #require(try ChatFormat.load(directory: folder))
        #expect(format.toolCallFormat == .hermes)
        let text = try Self.prompt(format, Self.called)
        #expect(text.contains("<|system|>\nYou can call functions."))
        #expect(text.hasSuffix("<|user|>\n<tool_response>\nnoon\n</tool_response><|end|>\n<|assistant|>\n"))
    }

    @Test("ids of other models' calls become ones that the template accepts")
    func ids() throws {
        for name in ["inst-tools", "inst-named"] {
            let text = try Self.prompt(try Self.format(name), Self.called)
            #expect(text.contains("[TOOL_CALLS]"))
            #expect(text.contains("call00000"))
            #expect(!text.contains("call_a"))
        }
    }

    @Test("several calls that a template refuses in one message become several messages")
    func refused() throws {
        var messages = Self.called
        messages[1].toolCalls.append(ToolCall(id: "call_b", name: "clock", arguments: "{}"))
        messages.append(ChatMessage(role: "tool", content: "one", toolCallID: "call_b"))
        let text = try Self.prompt(try Self.format("headers-tools"), messages)
        let parts = [
            #"{"name": "clock", "parameters": {"zone": "☔"}}<|eot_id|>"#, "noon",
            #"{"name": "clock", "parameters": {}}<|eot_id|>"#, "one",
        ]
        var rest = text[...]
        for part in parts {
            let range = rest.range(of: part)
            #expect(range != nil, "\(part) in \(text)")
            if let range { rest = rest[range.upperBound...] }
        }
        // Faults that have nothing to do with calls stay.
        #expect(throws: TemplateError.self) {
            try Self.prompt(
                try Self.format("inst-tools"),
                [ChatMessage(role: "user", content: "a"), ChatMessage(role: "user", content: "b")])
        }
    }

    @Test("results of several calls stand behind their calls, and those of none at the end")
    func grouped() throws {
        var messages = Self.called
        messages[1].toolCalls += ["b", "c"].map { ToolCall(id: $0, name: "clock", arguments: "{}") }
        messages.removeLast()
        for (id, result) in [("c", "R-c"), ("x", "R-x"), ("b", "R-b1"), ("call_a", "R-a"), ("b", "R-b2")] {
            messages.append(ChatMessage(role: "tool", content: result, toolCallID: id))
        }
        let text = try Self.prompt(try Self.format("headers-tools"), messages)
        let places = ["R-a", "R-b1", "R-b2", "R-c", "R-x"].compactMap { text.range(of: $0)?.lowerBound }
        #expect(places.count == 5 && places == places.sorted(), "\(text)")
    }

    @Test("any number of parts, names and results is looked at in bounded time")
    func many() throws {
        let parts = ChatMessage(role: "user", parts: (0..<20_000).map { "part \($0)" })
        let text = try Self.prompt(try Self.format("parts"), [parts], tools: nil)
        #expect(text.contains("part 19999"))
        var calls = ChatMessage(role: "assistant", content: nil)
        calls.toolCalls = (0..<5000).map { ToolCall(id: "id\($0)", name: "f\($0)", arguments: "{}") }
        let results = (0..<5000).map {
            ChatMessage(role: "tool", content: "result \($0)", toolCallID: "id\($0)")
        }
        let long = try Self.prompt(
            try Self.format("thinking"), [ChatMessage(role: "user", content: "x"), calls] + results)
        #expect(long.contains("f4999") && long.contains("result 4999"))
    }

    @Test("arguments too deep for a template are written as text")
    func deep() throws {
        let deep = String(repeating: "{\"a\":", count: 90) + "1" + String(repeating: "}", count: 90)
        var messages = Self.called
        messages[1].toolCalls[0].arguments = deep
        #expect(try Self.prompt(try Self.format("thinking"), messages).contains("\"arguments\": " + deep))
    }

    @Test("a call without arguments has an empty object")
    func noArguments() throws {
        let text =
            #"{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": ""}}]}"#
        let message = try ChatMessage(parsing: try JSON(parsing: text))
        #expect(message.isContentNull)
        #expect(message.json["tool_calls"]?.array?.first?["function"]?["arguments"] == [:])
    }

    @Test("messages that are none are refused, and the member is named")
    func faults() throws {
        for (text, member) in [
            ("3", ""), ("{}", "role"), (#"{"role": "SECRET", "content": "x"}"#, "role"),
            (#"{"role": "user"}"#, "content"), (#"{"role": "user", "content": 3}"#, "content"),
            (#"{"role": "assistant", "content": null}"#, "content"),
            (#"{"role": "assistant", "content": null, "tool_calls": []}"#, "content"),
            (#"{"role": "user", "content": [{"type": "image_url"}]}"#, "content[0].image_url.url"),
            (#"{"role": "user", "content": [{"type": "audio"}]}"#, "content[0].type"),
            (
                #"{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}"#,
                "content"
            ),
            (
                #"{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text"}]}"#,
                "content[1].text"
            ),
            (#"{"role": "tool", "content": "x"}"#, "tool_call_id"),
            (#"{"role": "user", "content": "x", "name": 3}"#, "name"),
            (#"{"role": "assistant", "tool_calls": 3}"#, "tool_calls"),
            (#"{"role": "assistant", "tool_calls": [{}]}"#, "tool_calls[0].id"),
            (#"{"role": "assistant", "tool_calls": [{"id": "a"}]}"#, "tool_calls[0].function.name"),
            (
                #"{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]}"#,
                "tool_calls[0].function.arguments"
            ),
            (
                #"{"role": "user", "content": "x", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": ""}}]}"#,
                "tool_calls"
            ),
        ] {
            let json = try JSON(parsing: text)
            do throws(ChatMessageError) {
                _ = try ChatMessage(parsing: json)
                Issue.record("\(text) was read")
            } catch {
                #expect(error.member == member, "\(text)")
                #expect(!error.description.contains("SECRET"))
            }
        }
    }
}

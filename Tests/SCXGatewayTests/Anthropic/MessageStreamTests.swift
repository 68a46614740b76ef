import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

@Suite("Streams of Anthropic's interface")
struct MessageStreamTests {
    private func stream(_ answers: FakeAnswering) async throws -> [String] {
        let asked = try request("{\(AnthropicRouteTests.hi),\"stream\":true}")
        return try await AnthropicRoutes.messages(asked, answers).events()
    }

    private let start = #"""
        {"type":"message_start","message":{"id":"msg_X","type":"message","role":"assistant","content":[],\#
        "model":"tiny","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":0,\#
        "cache_read_input_tokens":0,"cache_creation_input_tokens":0}}}
        """#

    private func end(_ reason: String) -> [String] {
        [
            #"""
            {"type":"message_delta","delta":{"stop_reason":"\#(reason)","stop_sequence":null},\#
            \#(AnthropicRouteTests.usage),"scx":\#(ChatUsage.exampleCosts)}
            """#,
            #"{"type":"message_stop"}"#,
        ]
    }

    @Test("a text is told piece by piece")
    func text() async throws {
        let answers = try FakeAnswering(telling: [
            .text("", tokens: []), .text("Hel", tokens: []), .text("lo", tokens: []),
            .finished(.end, .example),
        ])
        let expected =
            [
                start,
                #"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
                #"{"type":"content_block_stop","index":0}"#,
            ] + end("end_turn")
        let events = try await stream(answers)
        #expect(events == expected)
    }

    @Test("calls follow the text, one after the other")
    func calls() async throws {
        let answers = try FakeAnswering(telling: [
            .text("I look.", tokens: []), .callBegan(index: 0, id: "c1", name: "f"),
            .callArguments(index: 0, #"{"a""#), .callArguments(index: 0, ":1}"),
            .callBegan(index: 1, id: "c2", name: "g"), .callArguments(index: 1, "{}"),
            .finished(.toolCalls, .example),
        ])
        let expected =
            [
                start,
                #"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I look."}}"#,
                #"{"type":"content_block_stop","index":0}"#,
                #"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c1","name":"f","input":{}}}"#,
                #"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
                #"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":":1}"}}"#,
                #"{"type":"content_block_stop","index":1}"#,
                #"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"c2","name":"g","input":{}}}"#,
                #"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
                #"{"type":"content_block_stop","index":2}"#,
            ] + end("tool_use")
        let events = try await stream(answers)
        #expect(events == expected)
    }

    @Test("thoughts are a block before the text")
    func thinking() async throws {
        let answers = try FakeAnswering(telling: [
            .reasoning("Hm", tokens: []), .reasoning(".", tokens: []), .text("Yes", tokens: []),
            .finished(.end, .example),
        ])
        let expected =
            [
                start,
                #"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"."}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":""}}"#,
                #"{"type":"content_block_stop","index":0}"#,
                #"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
                #"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Yes"}}"#,
                #"{"type":"content_block_stop","index":1}"#,
            ] + end("end_turn")
        let events = try await stream(answers)
        #expect(events == expected)
    }

    @Test("words of the assistant at the end begin the answer")
    func begun() async throws {
        let answers = try FakeAnswering(saying: "x")
        let body =
            #"{"max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#
        _ = try await AnthropicRoutes.messages(request(body), answers)
        #expect(answers.requests.first?.ending == .inside)
        let thinking =
            #"{"max_tokens":1,"thinking":{"type":"disabled"},"messages":[{"role":"user","content":"a"}]}"#
        _ = try await AnthropicRoutes.messages(request(thinking), answers)
        #expect(answers.requests.last?.ending == .answer)
        #expect(
            answers.requests.last?.templateVariables
                == [.init("enable_thinking", false), .init("thinking", false)])
    }

    @Test("an error before the first event is thrown, a later one is the last event")
    func errors() async throws {
        let early = try FakeAnswering(telling: [], failure: APIError(EngineError.emptyPrompt))
        await #expect(throws: APIError(EngineError.emptyPrompt)) { try await stream(early) }
        let late = try FakeAnswering(telling: [.text("a", tokens: [])], failure: APIError(WrongReply()))
        let events = try await stream(late)
        let last =
            #"{"type":"error","error":{"type":"api_error","message":"internal error","param":null,"code":"internal_error"}}"#
        #expect(events.last == last)
    }
}

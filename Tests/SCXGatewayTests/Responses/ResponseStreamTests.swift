import SCXEngine
import SCXGateway
import SCXInference
import Testing

@Suite("Streams of the Responses interface")
struct ResponseStreamTests {
    private func stream(_ answers: FakeAnswering, _ store: ResponseStore = ResponseStore()) async throws
        -> [String]
    {
        let asked = try request(#"{"input":"Hi","stream":true}"#, key: "alice")
        return try await ResponsesRoutes.create(asked, answers, store).events()
    }

    /// A response whose time and names are made equal.
    private func response(_ status: String, output: String, usage: String = "null", end: String = "")
        -> String
    {
        let reason = status == "incomplete" ? #"{"reason":"max_output_tokens"}"# : "null"
        return """
            {"id":"resp_X","object":"response","created_at":0,"status":"\(status)","background":false,\
            "error":null,"incomplete_details":\(reason),"model":"tiny","output":[\(output)],"usage":\(usage),\
            \(ResponsesRouteTests.echo)\(end)}
            """
    }

    private func end(_ status: String, output: String) -> String {
        let usage = String(ResponsesRouteTests.usage.dropFirst(#""usage":"#.count))
        return response(
            status, output: output, usage: usage, end: #","scx":\#(ChatUsage.exampleCosts)"#)
    }

    private func message(_ text: String, _ status: String) -> String {
        let part = #"{"type":"output_text","text":"\#(text)","annotations":[],"logprobs":[]}"#
        return """
            {"id":"msg_X_0","type":"message","status":"\(status)","role":"assistant",\
            "content":[\(status == "in_progress" ? "" : part)]}
            """
    }

    @Test("a text is told piece by piece")
    func text() async throws {
        let answers = try FakeAnswering(telling: [
            .text("", tokens: []), .text("Hel", tokens: []), .text("lo", tokens: []),
            .finished(.stopText("."), .example),
        ])
        let place = #""item_id":"msg_X_0","output_index":0,"content_index":0"#
        let empty = #"{"type":"output_text","text":"","annotations":[],"logprobs":[]}"#
        let full = #"{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}"#
        let begun = response("in_progress", output: "")
        let expected = [
            #"{"type":"response.created","sequence_number":0,"response":\#(begun)}"#,
            #"{"type":"response.in_progress","sequence_number":1,"response":\#(begun)}"#,
            #"{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":\#(message("", "in_progress"))}"#,
            #"{"type":"response.content_part.added","sequence_number":3,\#(place),"part":\#(empty)}"#,
            #"{"type":"response.output_text.delta","sequence_number":4,\#(place),"delta":"Hel","logprobs":[]}"#,
            #"{"type":"response.output_text.delta","sequence_number":5,\#(place),"delta":"lo","logprobs":[]}"#,
            #"{"type":"response.output_text.done","sequence_number":6,\#(place),"text":"Hello","logprobs":[]}"#,
            #"{"type":"response.content_part.done","sequence_number":7,\#(place),"part":\#(full)}"#,
            #"{"type":"response.output_item.done","sequence_number":8,"output_index":0,"item":\#(message("Hello", "completed"))}"#,
            #"{"type":"response.completed","sequence_number":9,"response":\#(end("completed", output: message("Hello", "completed")))}"#,
        ]
        let events = try await stream(answers)
        for (event, line) in zip(events, expected) { #expect(event == line) }
        #expect(events.count == expected.count)
    }

    @Test("thoughts are an item before the message")
    func reasoning() async throws {
        let answers = try FakeAnswering(telling: [
            .reasoning("Hm", tokens: []), .reasoning(".", tokens: []), .text("Yes", tokens: []),
            .finished(.end, .example),
        ])
        let events = try await stream(answers).map { try JSON(parsing: $0) }
        let types = events.compactMap { $0["type"]?.string?.dropFirst("response.".count) }
        #expect(
            types.prefix(11) == [
                "created", "in_progress", "output_item.added", "content_part.added", "reasoning_text.delta",
                "reasoning_text.delta", "reasoning_text.done", "content_part.done", "output_item.done",
                "output_item.added", "content_part.added",
            ])
        #expect(events[4]["delta"] == "Hm" && events[6]["text"] == "Hm.")
        #expect(events[8]["item"]?["content"] == [["type": "reasoning_text", "text": "Hm."]])
        #expect(events[8]["item"]?["id"]?.string?.hasPrefix("rs_") == true)
        let response = events.last?["response"]
        #expect(response?["output"]?.array?.map { $0["type"]?.string } == ["reasoning", "message"])
    }

    @Test("calls follow the text, one after the other")
    func calls() async throws {
        let answers = try FakeAnswering(telling: [
            .text("I look.", tokens: []), .callBegan(index: 0, id: "c1", name: "f"),
            .callArguments(index: 0, #"{"a""#), .text("", tokens: []), .callArguments(index: 0, ":1}"),
            .callBegan(index: 1, id: "c2", name: "g"), .callArguments(index: 1, "{}"),
            .finished(.toolCalls, .example),
        ])
        let events = try await stream(answers)
        let first = #""item_id":"fc_X_1","output_index":1"#
        let second = #""item_id":"fc_X_2","output_index":2"#
        func call(_ place: Int, _ name: String, _ arguments: String, _ status: String) -> String {
            """
            {"id":"fc_X_\(place)","type":"function_call","status":"\(status)","call_id":"c\(place)",\
            "name":"\(name)","arguments":"\(arguments)"}
            """
        }
        let (f, g) = (call(1, "f", #"{\"a\":1}"#, "completed"), call(2, "g", "{}", "completed"))
        let expected = [
            #"{"type":"response.output_item.added","sequence_number":8,"output_index":1,"item":\#(call(1, "f", "", "in_progress"))}"#,
            #"{"type":"response.function_call_arguments.delta","sequence_number":9,\#(first),"delta":"{\"a\""}"#,
            #"{"type":"response.function_call_arguments.delta","sequence_number":10,\#(first),"delta":":1}"}"#,
            #"{"type":"response.function_call_arguments.done","sequence_number":11,\#(first),"name":"f","arguments":"{\"a\":1}"}"#,
            #"{"type":"response.output_item.done","sequence_number":12,"output_index":1,"item":\#(f)}"#,
            #"{"type":"response.output_item.added","sequence_number":13,"output_index":2,"item":\#(call(2, "g", "", "in_progress"))}"#,
            #"{"type":"response.function_call_arguments.delta","sequence_number":14,\#(second),"delta":"{}"}"#,
            #"{"type":"response.function_call_arguments.done","sequence_number":15,\#(second),"name":"g","arguments":"{}"}"#,
            #"{"type":"response.output_item.done","sequence_number":16,"output_index":2,"item":\#(g)}"#,
        ]
        for (event, line) in zip(events.dropFirst(8), expected) { #expect(event == line) }
        let output = [message("I look.", "completed"), f, g].joined(separator: ",")
        let last =
            #"{"type":"response.completed","sequence_number":17,"response":\#(end("completed", output: output))}"#
        #expect(events.last == last)
        #expect(events.count == 18)
    }

    @Test("an answer without a word has an empty message, one at its limit is incomplete")
    func limit() async throws {
        let answers = try FakeAnswering(telling: [.finished(.length, .example)])
        let events = try await stream(answers)
        let response = end("incomplete", output: message("", "incomplete"))
        let last = #"{"type":"response.incomplete","sequence_number":7,"response":\#(response)}"#
        #expect(events.last == last)
    }

    @Test("an error before the first event is thrown, a later one is the last event")
    func errors() async throws {
        let early = try FakeAnswering(
            telling: [], failure: APIError(EngineError.promptTooLong(tokens: 9, limit: 4)))
        await #expect(throws: APIError(EngineError.promptTooLong(tokens: 9, limit: 4))) {
            try await stream(early)
        }
        let late = try FakeAnswering(telling: [.text("a", tokens: [])], failure: APIError(WrongReply()))
        let events = try await stream(late)
        let last = try JSON(parsing: #require(events.last))
        #expect(last["type"] == "response.failed")
        #expect(last["response"]?["status"] == "failed")
        #expect(last["response"]?["error"] == ["code": "server_error", "message": "internal error"])
    }

    @Test("a response is kept before its last event is told")
    func kept() async throws {
        let store = ResponseStore()
        let asked = try request(#"{"input":"Hi","stream":true}"#)
        let reply = try await ResponsesRoutes.create(asked, FakeAnswering(saying: "Hello"), store)
        guard case .events(let events, let headers) = reply else { throw WrongReply() }
        #expect(headers == [APIHeader("x-scx-profile", "plain")])
        for try await event in events where event.name == "response.completed" {
            let response = try #require(try JSON(parsing: event.data)["response"])
            let fetched = try await ResponsesRoutes.get(
                request("{}", name: response["id"]?.string), store)
            guard case .json(let json, _) = fetched else { throw WrongReply() }
            #expect(json == response)
        }
    }
}

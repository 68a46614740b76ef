import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

@Suite("chat completions")
struct ChatCompletionsTests {
    let route: Route = ChatCompletions.reply
    static let hello = #""messages":[{"role":"user","content":"Hi"}]"#

    func fake(_ events: [ChatEvent.Kind] = [.finished(.end, usage(3, 1))]) throws -> FakeAnswering {
        try FakeAnswering(events.map { ChatEvent(choice: 0, $0) })
    }

    /// What a body becomes.
    func chat(_ fields: String, profile: String? = nil) async throws -> ChatRequest {
        let count = (try? JSON(parsing: "{\(fields)}"))?["n"]?.int ?? 1
        let answering = try FakeAnswering(
            (0..<count).map { ChatEvent(choice: $0, .finished(.end, usage(3, 1))) })
        _ = try await route(asking("{\(Self.hello),\(fields)}", profile: profile), answering)
        return try #require(answering.requests.first)
    }

    // MARK: Reading

    @Test("every field of sampling arrives")
    func sampling() async throws {
        let chat = try await chat(
            """
            "max_tokens":5,"n":2,"stop":["x","y"],"seed":-1,"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,
            "presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.5,"logit_bias":{"7":-100},
            "logprobs":true,"top_logprobs":3,"user":"u","ignore_eos":true,"cache_salt":"s","unknown":[{}],
            "chat_template_kwargs":{"enable_thinking":false}
            """)
        var expected = SamplingParameters()
        (expected.temperature, expected.topP, expected.topK, expected.minP) = (0.5, 0.9, 40, 0.1)
        (expected.presencePenalty, expected.frequencyPenalty) = (1, -1)
        (expected.repetitionPenalty, expected.logitBias, expected.seed) = (1.5, [7: -100], .max)
        expected.topLogprobs = 3
        #expect(chat.sampling == expected)
        #expect(chat.maximumTokens == 5 && chat.count == 2 && chat.stop == ["x", "y"] && chat.ignoresEnd)
        #expect(chat.salt == "s" && chat.key == "team" && chat.profile == "plain")
        #expect(chat.templateVariables == [.init("enable_thinking", false)])
    }

    @Test("what is missing or null has OpenAI's default")
    func defaults() async throws {
        let chat = try await chat(#""temperature":null,"max_tokens":null,"tools":null,"stream":null"#)
        #expect(chat.sampling == SamplingParameters())
        #expect(chat.maximumTokens == nil && chat.count == 1 && chat.stop == [] && !chat.ignoresEnd)
        #expect(chat.salt == nil && chat.tools == [] && chat.toolChoice == .auto && chat.format == .text)
        #expect(chat.allowsParallelCalls)
    }

    @Test("newer names go before older ones, and limits are bounded")
    func names() async throws {
        #expect(try await chat(#""max_tokens":5,"max_completion_tokens":6"#).maximumTokens == 6)
        let bounded = try await chat(#""max_tokens":9223372036854775807"#).maximumTokens
        #expect(bounded == Int(Int32.max))
        #expect(try await chat(#""prompt_cache_key":"k""#).salt == "k")
        #expect(try await chat(#""cache_salt":"s","prompt_cache_key":"k""#).salt == "s")
        #expect(try await chat(#""stop":"x","top_k":-1"#).stop == ["x"])
    }

    @Test("a profile is chosen by the model's name, else by the header")
    func profiles() async throws {
        #expect(try await chat(#""model":"tiny""#).profile == "plain")
        #expect(try await chat(#""model":"tiny:scx""#).profile == "scx")
        #expect(try await chat(#""model":"""#, profile: "scx").profile == "scx")
        #expect(try await chat(#""model":"tiny:plain""#, profile: "scx").profile == "plain")
    }

    @Test("messages have texts, parts, calls and their results")
    func messages() async throws {
        let answering = try fake()
        let body = """
            {"messages":[{"role":"developer","content":"S"},
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
            "function":{"name":"f","arguments":"{\\"x\\":1}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"R"}]}
            """
        _ = try await route(asking(body), answering)
        guard case .messages(let messages)? = answering.requests.first?.prompt else {
            Issue.record("no messages")
            return
        }
        #expect(messages.map(\.role) == ["system", "user", "assistant", "tool"])
        #expect(messages.map(\.content) == ["S", "a\nb", "", "R"])
        #expect(messages[2].toolCalls == [ToolCall(id: "c1", name: "f", arguments: #"{"x":1}"#)])
        #expect(messages[3].toolCallID == "c1")
    }

    static let tool = #"{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}"#

    @Test("tools, the choice among them and the answer's format are passed on")
    func tools() async throws {
        let tools = #""tools":[\#(Self.tool)]"#
        let chat1 = try await chat(tools + #","tool_choice":"required","parallel_tool_calls":false"#)
        #expect(chat1.tools == [try JSON(parsing: Self.tool)])
        #expect(chat1.toolChoice == .required && !chat1.allowsParallelCalls)
        #expect(try await chat(tools + #","tool_choice":"none""#).toolChoice == .none)
        let named = #","tool_choice":{"type":"function","function":{"name":"f"}}"#
        #expect(try await chat(tools + named).toolChoice == .function("f"))
        #expect(try await chat(#""response_format":{"type":"text"}"#).format == .text)
        #expect(try await chat(#""response_format":{"type":"json_object"}"#).format == .jsonObject)
        let schema =
            #"{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"array"},"strict":true}}"#
        #expect(
            try await chat(#""response_format":\#(schema)"#).format == .jsonSchema(["type": "array"]))
    }

    @Test(
        "a wrong field is refused by name",
        arguments: [
            (#""messages":[]"#, "messages"), (#""messages":"Hi""#, "messages"),
            (#""messages":[3]"#, "messages[0]"),
            (#""messages":[{"role":"king","content":""}]"#, "messages[0].role"),
            (#""messages":[{"role":"user"}]"#, "messages[0].content"),
            (
                #""messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]"#,
                "messages[0].content[0].image_url.url"
            ),
            (
                #""messages":[{"role":"user","content":[{"type":"input_audio"}]}]"#,
                "messages[0].content[0].type"
            ),
            (#""messages":[{"role":"tool","content":"x"}]"#, "messages[0].tool_call_id"),
            (hello + #","max_tokens":0"#, "max_tokens"), (hello + #","max_tokens":1.5"#, "max_tokens"),
            (hello + #","max_completion_tokens":"9""#, "max_completion_tokens"),
            (hello + #","n":17"#, "n"), (hello + #","n":0"#, "n"), (hello + #","stop":[1]"#, "stop"),
            (hello + #","stop":["a","b","c","d","e"]"#, "stop"),
            (hello + #","stop":"\#(String(repeating: "a", count: 1025))""#, "stop"),
            (
                hello + #","logit_bias":{\#((0...1024).map { "\"\($0)\":1" }.joined(separator: ","))}"#,
                "logit_bias"
            ),
            (hello + #","stop":"""#, "stop"), (hello + #","seed":1e30"#, "seed"),
            (hello + #","temperature":-1"#, "temperature"), (hello + #","temperature":NaN"#, "temperature"),
            (hello + #","top_p":0"#, "top_p"), (hello + #","top_p":1e-60"#, "top_p"),
            (hello + #","top_k":-2"#, "top_k"), (hello + #","min_p":2"#, "min_p"),
            (hello + #","presence_penalty":3"#, "presence_penalty"),
            (hello + #","frequency_penalty":"1""#, "frequency_penalty"),
            (hello + #","repetition_penalty":0"#, "repetition_penalty"),
            (hello + #","logit_bias":{"x":1}"#, "logit_bias"),
            (hello + #","logit_bias":{"-1":1}"#, "logit_bias"),
            (hello + #","logit_bias":{"5":101}"#, "logit_bias.5"), (hello + #","logprobs":1"#, "logprobs"),
            (hello + #","top_logprobs":2"#, "top_logprobs"),
            (hello + #","logprobs":true,"top_logprobs":21"#, "top_logprobs"),
            (hello + #","response_format":{"type":"xml"}"#, "response_format.type"),
            (hello + #","response_format":{"type":"json_schema"}"#, "response_format.json_schema"),
            (
                hello + #","response_format":{"type":"json_schema","json_schema":{"schema":{}}}"#,
                "response_format.json_schema.name"
            ),
            (
                hello + #","response_format":{"type":"json_schema","json_schema":{"name":"s"}}"#,
                "response_format.json_schema.schema"
            ),
            (hello + #","tools":[{"type":"web_search"}]"#, "tools[0].type"),
            (hello + #","tools":[{"type":"function"}]"#, "tools[0].function"),
            (
                hello + #","tools":[{"type":"function","function":{"name":"a b"}}]"#,
                "tools[0].function.name"
            ),
            (
                hello + #","tools":[{"type":"function","function":{"name":"a","parameters":1}}]"#,
                "tools[0].function.parameters"
            ),
            (hello + #","tool_choice":"required""#, "tool_choice"),
            (hello + #","tool_choice":"some""#, "tool_choice"),
            (
                hello + #","tools":[\#(tool)],"tool_choice":{"type":"function","function":{"name":"g"}}"#,
                "tool_choice.function.name"
            ),
            (hello + #","functions":[]"#, "functions"), (hello + #","stream":1"#, "stream"),
            (hello + #","stream_options":{"include_usage":true}"#, "stream_options"),
            (hello + #","user":1"#, "user"), (hello + #","ignore_eos":"yes""#, "ignore_eos"),
            (hello + #","cache_salt":"""#, "cache_salt"),
            (hello + #","prompt_cache_key":1"#, "prompt_cache_key"),
            (hello + #","chat_template_kwargs":[]"#, "chat_template_kwargs"),
            (hello + #","model":1"#, "model"), (hello + #","reasoning_effort":"some""#, "reasoning_effort"),
            (hello + #","enable_thinking":1"#, "enable_thinking"),
            (hello + #","thinking":{"type":"on"}"#, "thinking.type"),
            (hello + #","continue_final_message":true"#, "continue_final_message"),
            (
                #""messages":[{"role":"assistant","content":"a"}],"continue_final_message":true,"#
                    + #""add_generation_prompt":true"#, "continue_final_message"
            ),
            (hello + #","add_generation_prompt":"no""#, "add_generation_prompt"),
        ])
    func wrongFields(_ fields: String, _ param: String) async throws {
        let answering = try fake()
        let error = try #require(try await fault("{\(fields)}", route, answering))
        #expect(error.status == 400)
        #expect(error.param == param)
        #expect(error.type == "invalid_request_error")
        #expect(error.message.contains("'\(param)'"))
        #expect(answering.requests.isEmpty)
    }

    @Test("another model is not found", arguments: ["gpt-4", "tiny:sealed", "tin", "tiny:"])
    func otherModel(_ name: String) async throws {
        let error = try await fault(#"{\#(Self.hello),"model":"\#(name)"}"#, route, fake())
        #expect(error?.status == 404 && error?.code == "model_not_found" && error?.param == "model")
    }

    @Test(
        "where the prompt ends",
        arguments: [
            ("", ChatFormat.Ending.inside), (#","add_generation_prompt":true"#, .answer),
            (#","add_generation_prompt":false"#, .message), (#","continue_final_message":false"#, .answer),
            (#","continue_final_message":true"#, .inside),
            (#","continue_final_message":true,"add_generation_prompt":false"#, .inside),
        ])
    func endings(_ fields: String, _ ending: ChatFormat.Ending) async throws {
        let answering = try fake()
        let begun = #""messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#
        _ = try await route(asking("{\(begun)\(fields)}"), answering)
        #expect(answering.requests.first?.ending == ending)
        // Without words of the assistant there is nothing to go on with.
        #expect(try await chat(#""top_k":1"#).ending == .answer)
    }

    @Test("what is said of thinking reaches the template")
    func thinking() async throws {
        func variables(_ fields: String) async throws -> JSON {
            .object(try await chat(fields).templateVariables)
        }
        #expect(try await variables(#""reasoning_effort":"low""#) == ["reasoning_effort": "low"])
        let off: JSON = ["enable_thinking": false, "thinking": false]
        #expect(try await variables(#""reasoning_effort":"none""#) == off)
        #expect(try await variables(#""enable_thinking":false"#) == off)
        #expect(try await variables(#""thinking":{"type":"disabled"}"#) == off)
        #expect(try await variables(#""top_k":1"#) == [:])
        // The request's own variables come last, and count.
        let both = #""reasoning_effort":"low","chat_template_kwargs":{"reasoning_effort":"x"}"#
        #expect(try await chat(both).templateVariables.last == .init("reasoning_effort", "x"))
        #expect(try await !chat(#""include_reasoning":false"#).showsReasoning)
    }

    @Test("thoughts are a member of their own")
    func reasoning() async throws {
        var cost = usage(3, 4)
        cost.reasoningTokens = 2
        let answering = try fake([
            .reasoning("Hm", tokens: [token(1)]), .reasoning(".", tokens: []),
            .text("Yes", tokens: [token(2)]),
            .finished(.end, cost),
        ])
        let (json, _) = try whole(try await route(asking("{\(Self.hello)}"), answering))
        let message = json["choices"]?.array?.first?["message"]
        #expect(message?["content"] == "Yes" && message?["reasoning_content"] == "Hm.")
        #expect(json["usage"]?["completion_tokens_details"]?["reasoning_tokens"] == 2)
    }

    @Test("a template that cannot be used is named, and completions are served")
    func noTemplate() async throws {
        let model = try ServedModel.fake(fault: "chat_template.jinja line 3: unsupported tag 'import'")
        let error = #expect(throws: APIError.self) { try model.requireChatFormat() }
        #expect(error?.status == 501 && error?.code == "chat_template_unsupported")
        #expect(error?.message.contains("line 3: unsupported tag 'import'") == true)
    }

    // MARK: Whole replies

    @Test("a whole reply has the text, the usage and the costs")
    func wholeReply() async throws {
        let answering = try fake([
            .text("He", tokens: [token(1)]), .text("llo", tokens: [token(2)]),
            .finished(.stopText("x"), usage(3, 2, cached: 1)),
        ])
        let reply = try await route(asking("{\(Self.hello)}"), answering)
        guard case .json(let json, _) = reply else { return }
        #expect(json["id"]?.string?.hasPrefix("chatcmpl-") == true)
        #expect((json["created"]?.int ?? 0) > 1_700_000_000)
        let (rest, headers) = try whole(reply)
        let expected =
            #"{"object":"chat.completion","model":"tiny","system_fingerprint":"scx-plain","choices":[{"index":0,"#
            + #""message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"#
            + #""finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"#
            + #""prompt_tokens_details":{"cached_tokens":1}},\#(costs())}"#
        #expect(rest.text == expected)
        let named = headers.map { "\($0.name): \($0.value)" }
        #expect(
            named == [
                "x-scx-profile: plain", "x-scx-exchanges: 7", "x-scx-bytes-sent: 100",
                "x-scx-bytes-received: 200", "x-scx-pads: 0",
            ])
    }

    @Test("calls of functions are whole, and the content is null")
    func calls() async throws {
        let answering = try fake([
            .callBegan(index: 0, id: "call_1", name: "f"), .callArguments(index: 0, #"{"a""#),
            .callArguments(index: 0, ":1}"), .callBegan(index: 1, id: "call_2", name: "g"),
            .finished(.toolCalls, usage(3, 4)),
        ])
        let choice = try whole(try await route(asking("{\(Self.hello)}"), answering)).json["choices"]
        let expected =
            #"[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":["#
            + #"{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},"#
            + #"{"id":"call_2","type":"function","function":{"name":"g","arguments":""}}]},"#
            + #""logprobs":null,"finish_reason":"tool_calls"}]"#
        #expect(choice?.text == expected)
    }

    @Test("probabilities have the token's text and bytes, also of half a character")
    func logprobs() async throws {
        let model = try ServedModel.fake()
        let tokenizer = try model.requireTokenizer()
        let a = try #require(tokenizer.id(for: "a"))
        // The spelling of byte 0xC3, which begins "é".
        let half = try #require(tokenizer.id(for: "Ã"))
        let answering = try fake([
            .text("a", tokens: [token(a, -0.5, top: [(a, -0.5), (half, -.infinity)])]),
            .finished(.length, usage(3, 1)),
        ])
        let body = "{\(Self.hello),\"logprobs\":true,\"top_logprobs\":2}"
        let json = try whole(try await route(asking(body), answering)).json
        let logprobs = json["choices"]?.array?.first?["logprobs"]?.text
        let expected =
            #"{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":["#
            + #"{"token":"a","logprob":-0.5,"bytes":[97]},{"token":"�","logprob":-9999.0,"bytes":[195]}]}],"#
            + #""refusal":null}"#
        #expect(logprobs == expected)
    }

    @Test("several choices are in order, and the prompt counts once")
    func choices() async throws {
        let answering = try FakeAnswering([
            ChatEvent(choice: 1, .text("b", tokens: [])), ChatEvent(choice: 0, .text("a", tokens: [])),
            ChatEvent(choice: 1, .finished(.length, usage(3, 2))),
            ChatEvent(choice: 0, .finished(.end, usage(3, 1))),
        ])
        let json = try whole(try await route(asking("{\(Self.hello),\"n\":2}"), answering)).json
        let texts = json["choices"]?.array?.compactMap { $0["message"]?["content"]?.string }
        #expect(texts == ["a", "b"])
        #expect(json["usage"]?["total_tokens"]?.int == 6)
    }

    @Test("an error of the answer is the reply's error, and so is an answer without an end")
    func errors() async throws {
        let late = APIError(AdmissionError.queueFull(limit: 3))
        let answering = try FakeAnswering([ChatEvent(choice: 0, .text("a", tokens: []))], failure: late)
        #expect(try await fault("{\(Self.hello)}", route, answering) == late)
        let cut = try FakeAnswering([ChatEvent(choice: 0, .text("a", tokens: []))])
        #expect(try await fault("{\(Self.hello)}", route, cut)?.status == 500)
    }
}

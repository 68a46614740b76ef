import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

@Suite("Responses interface")
struct ResponsesRouteTests {
    /// What a reply repeats of a request that says nothing but its input.
    static let echo = """
        "instructions":null,"max_output_tokens":null,"metadata":{},"parallel_tool_calls":true,\
        "previous_response_id":null,"prompt_cache_key":null,"reasoning":{"effort":null,"summary":null},\
        "store":true,"temperature":1.0,\
        "text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,\
        "truncation":"disabled","user":null
        """
    static let usage = """
        "usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},\
        "output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":15}
        """

    private func create(_ body: String, _ answers: FakeAnswering, key: String = "") async throws -> APIReply {
        try await ResponsesRoutes.create(request(body, key: key), answers, ResponseStore())
    }

    @Test("a text is answered with a response that has every field")
    func text() async throws {
        let answers = try FakeAnswering(saying: "Hello")
        let reply = try await create(#"{"model":"tiny","input":"Hi"}"#, answers)
        let expected = """
            {"id":"resp_X","object":"response","created_at":0,"status":"completed","background":false,\
            "error":null,"incomplete_details":null,"model":"tiny","output":[{"id":"msg_X_0","type":"message",\
            "status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello",\
            "annotations":[],"logprobs":[]}]}],\(Self.usage),\(Self.echo),"scx":\(ChatUsage.exampleCosts)}
            """
        let json = try reply.json()
        #expect(json == expected)
        #expect(answers.messages == #"[{"role":"user","content":"Hi"}]"#)
        guard case .json(_, let headers) = reply else { throw WrongReply() }
        #expect(headers == [APIHeader("x-scx-profile", "plain")])
    }

    @Test("items become messages, calls and results")
    func items() async throws {
        let answers = try FakeAnswering(saying: "21")
        let body = #"""
            {"model":"tiny:scx","instructions":"Be brief.","input":[
              {"role":"developer","content":"Metric."},
              {"type":"message","role":"user","content":[{"type":"input_text","text":"Weather"},
                {"type":"input_text","text":"in Basel?"}]},
              {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"short"}],
                "content":[{"type":"reasoning_text","text":"Where?"}]},
              {"type":"message","role":"assistant","id":"msg_1","status":"completed",
                "content":[{"type":"output_text","text":"I look.","annotations":[]}]},
              {"type":"function_call","call_id":"c1","name":"get","arguments":"{\"p\":1}"},
              {"type":"function_call","call_id":"c2","name":"get","arguments":"{}"},
              {"type":"function_call_output","call_id":"c1","output":"20"},
              {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"21"}]}]}
            """#
        _ = try await create(body, answers)
        let expected = #"""
            [{"role":"system","content":"Be brief.\nMetric."},{"role":"user","content":"Weather\nin Basel?"},\#
            {"role":"assistant","content":"I look.","tool_calls":[\#
            {"id":"c1","type":"function","function":{"name":"get","arguments":{"p":1}}},\#
            {"id":"c2","type":"function","function":{"name":"get","arguments":{}}}],"reasoning_content":"Where?"},\#
            {"role":"tool","content":"20","tool_call_id":"c1"},{"role":"tool","content":"21","tool_call_id":"c2"}]
            """#
        let messages = try #require(answers.messages)
        #expect(messages == expected)
        #expect(answers.requests.first?.profile == "scx")
    }

    @Test("fields reach the request, and the reply repeats them")
    func fields() async throws {
        let answers = try FakeAnswering(saying: "{}")
        let body = #"""
            {"input":"Hi","instructions":"I","max_output_tokens":7,"temperature":0.5,"top_p":0.25,"top_k":9,
             "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true}],
             "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
             "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},
             "metadata":{"a":"b"},"store":false,"prompt_cache_key":"salt","user":"u","top_logprobs":2,
             "truncation":"auto","service_tier":"flex","reasoning":{"effort":"low"}}
            """#
        let reply = try await create(body, answers, key: "alice")
        let expected = #"""
            "instructions":"I","max_output_tokens":7,"metadata":{"a":"b"},"parallel_tool_calls":false,\#
            "previous_response_id":null,"prompt_cache_key":"salt","reasoning":{"effort":"low","summary":null},\#
            "store":false,"temperature":0.5,\#
            "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},\#
            "tool_choice":{"type":"function","name":"f"},"tools":[{"type":"function","name":"f",\#
            "description":"d","parameters":{"type":"object"},"strict":false}],"top_logprobs":2,"top_p":0.25,\#
            "truncation":"auto","user":"u"
            """#
        let json = try reply.json()
        #expect(json.contains(expected))

        let asked = try #require(answers.requests.first)
        #expect(asked.maximumTokens == 7 && asked.salt == "salt" && asked.key == "alice")
        #expect(asked.toolChoice == .function("f") && !asked.allowsParallelCalls)
        #expect(asked.format == .jsonSchema(["type": "object"]))
        let sampling = asked.sampling
        #expect(sampling.temperature == 0.5 && sampling.topP == 0.25 && sampling.topK == 9)
        #expect(sampling.topLogprobs == 2)
        let tool: JSON = [
            "type": "function",
            "function": ["name": "f", "description": "d", "parameters": ["type": "object"]],
        ]
        #expect(asked.tools == [tool])
    }

    @Test("log-probabilities come with the text that they are of")
    func logprobs() async throws {
        let answers = try FakeAnswering(telling: [
            .text("", tokens: [.certain(70)]), .text("He", tokens: [.certain(71)]),
            .finished(.end, .example),
        ])
        let body = #"{"input":"Hi","include":["message.output_text.logprobs"]}"#
        guard case .json(let json, _) = try await create(body, answers) else { throw WrongReply() }
        let logprobs = json["output"]?.array?.first?["content"]?.array?.first?["logprobs"]?.array ?? []
        let tokenizer = try #require(answers.model.tokenizer)
        let texts = [70, 71].map { JSON.string(tokenizer.decode([$0], skipSpecialTokens: false)) }
        #expect(logprobs.map { $0["token"] } == texts)
        let text = tokenizer.decode([70], skipSpecialTokens: false)
        #expect(logprobs.first?["logprob"] == 0.0)
        #expect(logprobs.first?["bytes"] == .array(text.utf8.map { .int(Int($0)) }))
        let top = logprobs.first?["top_logprobs"]?.array?.compactMap { $0["logprob"] }
        #expect(top == [0.0, -50.0])
    }

    @Test(
        "a wrong field is named",
        arguments: [
            (#"{}"#, "input"), (#"{"input":3}"#, "input"), (#"{"input":[]}"#, "input"),
            (#"{"input":[3]}"#, "input[0]"),
            (#"{"input":[{"role":"robot","content":""}]}"#, "input[0].role"),
            (#"{"input":[{"role":"user"}]}"#, "input[0].content"),
            (
                #"{"input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]}"#,
                "input[0].content[0].type"
            ),
            (#"{"input":[{"type":"computer_call"}]}"#, "input[0].type"),
            (#"{"input":[{"type":"function_call","call_id":"c","name":"f"}]}"#, "input[0].arguments"),
            (
                #"{"input":[{"type":"function_call_output","call_id":"c","output":""}]}"#, "input[0].call_id"
            ),
            (#"{"input":"","tools":[{"type":"web_search"}]}"#, "tools[0].type"),
            (#"{"input":"","tools":[{"type":"function","name":"a b"}]}"#, "tools[0].name"),
            (#"{"input":"","tool_choice":"required"}"#, "tool_choice"),
            (#"{"input":"","tool_choice":{"type":"function","name":"f"}}"#, "tool_choice"),
            (#"{"input":"","tool_choice":"maybe"}"#, "tool_choice"),
            (#"{"input":"","text":{"format":{"type":"xml"}}}"#, "text.format.type"),
            (#"{"input":"","text":{"format":{"type":"json_schema","name":"n"}}}"#, "text.format.schema"),
            (#"{"input":"","max_output_tokens":0}"#, "max_output_tokens"),
            (#"{"input":"","temperature":-1}"#, "temperature"), (#"{"input":"","top_p":-1}"#, "top_p"),
            (#"{"input":"","top_logprobs":99}"#, "top_logprobs"),
            (#"{"input":"","truncation":"middle"}"#, "truncation"),
            (#"{"input":"","metadata":{"a":1}}"#, "metadata"),
            (#"{"input":"","background":true}"#, "background"),
            (#"{"input":"","conversation":"conv_1"}"#, "conversation"),
            (#"{"input":"","stream":"yes"}"#, "stream"),
        ])
    func wrongField(_ body: String, _ param: String) async throws {
        let answers = try FakeAnswering(saying: "no")
        let error = await failure { try await create(body, answers) }
        #expect(error?.status == 400 && error?.type == "invalid_request_error")
        #expect(error?.param == param)
        #expect(answers.requests.isEmpty)
    }

    @Test("another model is not found, nor one with another profile")
    func models() async throws {
        let answers = try FakeAnswering(saying: "no")
        let model = await failure { try await create(#"{"model":"gpt-5","input":""}"#, answers) }
        #expect(model?.status == 404 && model?.code == "model_not_found" && model?.param == "model")
        #expect(model?.message.contains("'tiny'") == true)
        let profile = await failure { try await create(#"{"model":"tiny:sealed","input":""}"#, answers) }
        #expect(profile?.status == 404 && profile?.code == "model_not_found")
        let asked = try request(#"{"model":"","input":""}"#, profile: "scx")
        _ = try await ResponsesRoutes.create(asked, answers, ResponseStore())
        #expect(answers.requests.map(\.profile) == ["scx"])
    }

    @Test("an answer that fails has the error's status, and is not kept")
    func failing() async throws {
        let answers = try FakeAnswering(
            telling: [.text("a", tokens: [])],
            failure: APIError(EngineError.promptTooLong(tokens: 9, limit: 4)))
        let error = await failure { try await create(#"{"input":"Hi"}"#, answers) }
        #expect(error?.status == 400 && error?.code == "context_length_exceeded")
        let cut = try FakeAnswering(telling: [.text("a", tokens: [])])
        let early = await failure { try await create(#"{"input":"Hi"}"#, cut) }
        #expect(early?.status == 500)
    }
}

extension SampledToken {
    /// The token that is all but certain, with an alternative.
    static func certain(_ id: Int) throws -> SampledToken {
        var parameters = SamplingParameters()
        (parameters.temperature, parameters.topLogprobs) = (0, 2)
        var logits = [Float](repeating: -.infinity, count: 100)
        (logits[1], logits[id]) = (-50, 0)
        var sampler = try Sampler(parameters)
        return try sampler.sample(logits.span)
    }
}

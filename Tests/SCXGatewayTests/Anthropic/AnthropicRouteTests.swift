import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

@Suite("Anthropic's Messages interface")
struct AnthropicRouteTests {
    static let hi = #""max_tokens":9,"messages":[{"role":"user","content":"Hi"}]"#
    static let usage = """
        "usage":{"input_tokens":8,"output_tokens":3,"cache_read_input_tokens":4,\
        "cache_creation_input_tokens":0}
        """

    private func messages(_ body: String, _ answers: FakeAnswering) async throws -> APIReply {
        try await AnthropicRoutes.messages(request(body), answers)
    }

    @Test("a text is answered with a message that has every field")
    func text() async throws {
        let answers = try FakeAnswering(saying: "Hello")
        let reply = try await messages("{\(Self.hi)}", answers)
        let expected = """
            {"id":"msg_X","type":"message","role":"assistant","content":[{"type":"text","text":"Hello"}],\
            "model":"tiny","stop_reason":"end_turn","stop_sequence":null,\(Self.usage),\
            "scx":\(ChatUsage.exampleCosts)}
            """
        let json = try reply.json()
        #expect(json == expected)
        #expect(answers.messages == #"[{"role":"user","content":"Hi"}]"#)
        #expect(answers.requests.first?.maximumTokens == 9)
        guard case .json(_, let headers) = reply else { throw WrongReply() }
        #expect(headers == [APIHeader("x-scx-profile", "plain")])
    }

    @Test(
        "why an answer ended is told in this interface's words",
        arguments: [
            (ChatFinish.length, #""stop_reason":"max_tokens","stop_sequence":null"#),
            (.stopText("END"), #""stop_reason":"stop_sequence","stop_sequence":"END""#),
            (.toolCalls, #""stop_reason":"tool_use","stop_sequence":null"#),
        ])
    func reasons(_ finish: ChatFinish, _ expected: String) async throws {
        let answers = try FakeAnswering(telling: [.finished(finish, .example)])
        let json = try await messages("{\(Self.hi)}", answers).json()
        #expect(json.contains(expected))
        #expect(json.contains(#""content":[{"type":"text","text":""}]"#))
    }

    @Test("calls are blocks with an object as input, empty when it was cut short")
    func calls() async throws {
        let answers = try FakeAnswering(telling: [
            .text("I look.", tokens: []), .callBegan(index: 0, id: "c1", name: "f"),
            .callArguments(index: 0, #"{"a":[1"#), .callArguments(index: 0, "]}"),
            .callBegan(index: 1, id: "c2", name: "g"), .callArguments(index: 1, #"{"b"#),
            .finished(.length, .example),
        ])
        let json = try await messages("{\(Self.hi)}", answers).json()
        let content = #"""
            "content":[{"type":"text","text":"I look."},\#
            {"type":"tool_use","id":"c1","name":"f","input":{"a":[1]}},\#
            {"type":"tool_use","id":"c2","name":"g","input":{}}]
            """#
        #expect(json.contains(content))
    }

    @Test("blocks become messages, calls and results")
    func blocks() async throws {
        let answers = try FakeAnswering(saying: "21")
        let body = #"""
            {"model":"tiny:scx","max_tokens":5,"thinking":{"type":"enabled","budget_tokens":1024},
             "system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}},
                       {"type":"text","text":"Metric."}],
             "messages":[
               {"role":"user","content":"Weather"},
               {"role":"user","content":[{"type":"text","text":"in Basel?"}]},
               {"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},
                 {"type":"text","text":"I look."},
                 {"type":"tool_use","id":"t1","name":"get","input":{"p":1}},
                 {"type":"tool_use","id":"t2","name":"get","input":{}}]},
               {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"20"},
                 {"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"21"}]},
                 {"type":"text","text":"Which?"}]}]}
            """#
        _ = try await messages(body, answers)
        let expected = #"""
            [{"role":"system","content":"Be brief.\nMetric."},{"role":"user","content":"Weather\nin Basel?"},\#
            {"role":"assistant","content":"I look.","tool_calls":[\#
            {"id":"t1","type":"function","function":{"name":"get","arguments":{"p":1}}},\#
            {"id":"t2","type":"function","function":{"name":"get","arguments":{}}}],"reasoning_content":"x"},\#
            {"role":"tool","content":"20","tool_call_id":"t1"},{"role":"tool","content":"21","tool_call_id":"t2"},\#
            {"role":"user","content":"Which?"}]
            """#
        let asked = try #require(answers.messages)
        #expect(asked == expected)
        #expect(answers.requests.first?.profile == "scx")
    }

    @Test("fields reach the request")
    func fields() async throws {
        let answers = try FakeAnswering(saying: "Hello")
        let body = #"""
            {\#(Self.hi),"stop_sequences":["a","b"],"temperature":0.5,"top_p":0.25,"top_k":9,
             "tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],
             "tool_choice":{"type":"any","disable_parallel_tool_use":true},"metadata":{"user_id":"u"}}
            """#
        _ = try await messages(body, answers)
        let asked = try #require(answers.requests.first)
        #expect(asked.stop == ["a", "b"])
        let sampling = asked.sampling
        #expect(sampling.temperature == 0.5 && sampling.topP == 0.25 && sampling.topK == 9)
        #expect(asked.toolChoice == .required && !asked.allowsParallelCalls)
        let tool: JSON = [
            "type": "function",
            "function": ["name": "f", "description": "d", "parameters": ["type": "object"]],
        ]
        #expect(asked.tools == [tool])
    }

    @Test("fields for records and prices change nothing; formats, effort and hidden thoughts are passed on")
    func newerFields() async throws {
        let answers = try FakeAnswering(saying: "Hello")
        let schema = #"{"type":"json_schema","schema":{"type":"array"}}"#
        let bodies = [
            #"""
            {\#(Self.hi),"service_tier":"auto","inference_geo":"eu","container":null,"mcp_servers":[],
             "cache_control":{"type":"ephemeral"},"context_management":{"edits":[{"type":"clear_thinking_20251015"}]},
             "output_config":{"effort":"low","format":\#(schema)},
             "thinking":{"type":"adaptive","display":"omitted"},"chat_template_kwargs":{"a":1}}
            """#,
            #"{\#(Self.hi),"output_format":\#(schema)}"#,
        ]
        for body in bodies { _ = try await messages(body, answers) }
        #expect(
            answers.requests.map(\.format) == [
                .jsonSchema(["type": "array"]), .jsonSchema(["type": "array"]),
            ])
        let asked = try #require(answers.requests.first)
        #expect(!asked.showsReasoning)
        let variables = Dictionary(asked.templateVariables.map { ($0.name, $0.value) }) { _, last in last }
        #expect(variables["reasoning_effort"] == "low" && variables["enable_thinking"] == true)
        #expect(variables["a"] == 1)
    }

    @Test("messages may be the system's, also between others")
    func roles() async throws {
        let answers = try FakeAnswering(saying: "Hello")
        let body = #"""
            {"max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"ctx","content":"b"},
             {"role":"system","content":"c"},{"role":"user","content":"d"}]}
            """#
        _ = try await messages(body, answers)
        let expected = #"""
            [{"role":"user","content":"a\nb"},{"role":"system","content":"c"},{"role":"user","content":"d"}]
            """#
        #expect(answers.messages == expected)
    }

    @Test(
        "a wrong field is named",
        arguments: [
            (#"{"messages":[{"role":"user","content":""}]}"#, "max_tokens"),
            (#"{"max_tokens":0,"messages":[{"role":"user","content":""}]}"#, "max_tokens"),
            (#"{"max_tokens":1}"#, "messages"), (#"{"max_tokens":1,"messages":[]}"#, "messages"),
            (#"{"max_tokens":1,"messages":[{"role":"tool","content":""}]}"#, "messages[0].role"),
            (#"{"max_tokens":1,"messages":[{"role":"user"}]}"#, "messages[0].content"),
            (#"{"max_tokens":1,"messages":[{"role":"user","content":[]}]}"#, "messages"),
            (
                #"{"max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}]}"#,
                "messages"
            ),
            ("{\(hi),\"thinking\":{\"type\":\"loud\"}}", "thinking.type"),
            (
                #"{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]}"#,
                "messages[0].content[0].type"
            ),
            (
                #"{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]}"#,
                "messages[0].content[0].tool_use_id"
            ),
            (
                #"{"max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f"}]}]}"#,
                "messages[0].content[0].input"
            ),
            ("{\(hi),\"system\":3}", "system"), ("{\(hi),\"temperature\":-1}", "temperature"),
            ("{\(hi),\"tools\":[{\"name\":\"f\"}]}", "tools[0].input_schema"),
            ("{\(hi),\"tools\":[{\"type\":\"web_search_20250305\"}]}", "tools[0].type"),
            ("{\(hi),\"tool_choice\":{\"type\":\"any\"}}", "tool_choice"),
            ("{\(hi),\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}}", "tool_choice"),
            ("{\(hi),\"tool_choice\":{\"type\":\"x\"}}", "tool_choice.type"),
            ("{\(hi),\"stop_sequences\":[3]}", "stop_sequences"),
            ("{\(hi),\"container\":\"c\"}", "container"),
            ("{\(hi),\"mcp_servers\":[{\"url\":\"x\"}]}", "mcp_servers"),
            ("{\(hi),\"output_format\":{\"type\":\"xml\"}}", "output_format.type"),
            (
                "{\(hi),\"output_config\":{\"format\":{\"type\":\"json_schema\"}}}",
                "output_config.format.schema"
            ),
            ("{\(hi),\"output_config\":{\"effort\":\"vast\"}}", "output_config.effort"),
            ("{\(hi),\"output_config\":{\"task_budget\":{}}}", "output_config.task_budget"),
            (
                "{\(hi),\"context_management\":{\"edits\":[{\"type\":\"clear_tool_uses_20250919\"}]}}",
                "context_management.edits[0].type"
            ),
            (
                "{\(hi),\"tools\":[{\"name\":\"f\",\"input_schema\":{},\"defer_loading\":true}]}",
                "tools[0].defer_loading"
            ),
            (
                "{\(hi),\"tools\":[{\"name\":\"f\",\"input_schema\":{},\"input_examples\":[{}]}]}",
                "tools[0].input_examples"
            ),
        ])
    func wrongField(_ body: String, _ param: String) async throws {
        let answers = try FakeAnswering(saying: "no")
        let error = await failure { try await messages(body, answers) }
        #expect(error?.status == 400)
        #expect(error?.param == param)
        #expect(answers.requests.isEmpty)
    }

    @Test("errors have the members of both interfaces")
    func errors() async throws {
        let answers = try FakeAnswering(saying: "no")
        let body = #"{"model":"claude-sonnet-4-5",\#(Self.hi)}"#
        let error = await failure { try await messages(body, answers) }
        let expected = """
            {"type":"error","error":{"type":"not_found_error","message":"The model 'claude-sonnet-4-5' does \
            not exist; this server has 'tiny'.","param":"model","code":"model_not_found"}}
            """
        #expect(error?.anthropicJSON.text == expected)
        let types = [
            (400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"),
            (404, "not_found_error"), (405, "invalid_request_error"), (413, "request_too_large"),
            (429, "rate_limit_error"), (500, "api_error"), (503, "overloaded_error"),
        ]
        for (status, type) in types {
            let json = APIError(status: status, "", type: "x").anthropicJSON
            #expect(json["error"]?["type"] == .string(type))
        }
    }

    @Test("tokens are counted as the model reads them")
    func count() async throws {
        let answers = try FakeAnswering(saying: "no")
        let asked = try request(
            #"{"model":"tiny","system":"Be brief.","messages":[{"role":"user","content":"Hi"}]}"#)
        let json = try await AnthropicRoutes.countTokens(asked, answers).json()
        let model = answers.model
        let text = try model.requireChatFormat().prompt([
            ChatMessage(role: "system", content: "Be brief."), ChatMessage(role: "user", content: "Hi"),
        ])
        let count = try model.requireTokenizer().encode(text, addSpecialTokens: false).count
        #expect(json == #"{"input_tokens":\#(count)}"#)
        #expect(count > 5 && answers.requests.isEmpty)
    }
}

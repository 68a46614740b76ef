import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

/// Fields of OpenAI's and vLLM's interfaces: honoured, ignored where they change nothing, or refused by name.
@Suite("fields of requests")
struct RequestFieldsTests {
    static let hello = #""messages":[{"role":"user","content":"Hi"}]"#

    func fake() throws -> FakeAnswering {
        try FakeAnswering([ChatEvent(choice: 0, .finished(.end, usage(3, 1)))])
    }

    func chat(_ fields: String) async throws -> ChatRequest {
        let answering = try fake()
        _ = try await ChatCompletions.reply(asking("{\(Self.hello),\(fields)}"), answering)
        return try #require(answering.requests.first)
    }

    @Test(
        "a field that would change the answer is refused by name",
        arguments: [
            (#""audio":{"voice":"x"}"#, "audio"), (#""modalities":["text","audio"]"#, "modalities"),
            (#""verbosity":"low""#, "verbosity"), (#""web_search_options":{}"#, "web_search_options"),
            (#""chat_template":"x""#, "chat_template"), (#""echo":true"#, "echo"),
            (#""add_special_tokens":true"#, "add_special_tokens"),
            (#""prompt_logprobs":1"#, "prompt_logprobs"), (#""min_tokens":-1"#, "min_tokens"),
            (#""min_tokens":5,"max_tokens":4"#, "min_tokens"),
            (#""bad_words":[" "]"#, "bad_words"), (#""bad_words":[1]"#, "bad_words"),
            (#""allowed_token_ids":[]"#, "allowed_token_ids"),
            (#""allowed_token_ids":[1,-1]"#, "allowed_token_ids[1]"),
            (#""include_stop_str_in_output":1"#, "include_stop_str_in_output"),
            (#""skip_special_tokens":"no""#, "skip_special_tokens"),
            (#""truncate_prompt_tokens":10"#, "truncate_prompt_tokens"),
            (#""use_beam_search":true"#, "use_beam_search"), (#""best_of":2"#, "best_of"),
            (#""return_token_ids":true"#, "return_token_ids"),
            (#""logits_processors":["x"]"#, "logits_processors"), (#""vllm_xargs":{"a":1}"#, "vllm_xargs"),
            (#""thinking_token_budget":5"#, "thinking_token_budget"),
            (#""guided_regex":"""#, "guided_regex"), (#""guided_grammar":"a""#, "guided_grammar"),
            (#""guided_whitespace_pattern":"a""#, "guided_whitespace_pattern"),
            (#""structural_tag":"{}""#, "structural_tag"),
            (#""structured_outputs":{"regex":1}"#, "structured_outputs.regex"),
            (#""structured_outputs":{"regex":"a","choice":["a"]}"#, "structured_outputs"),
            (
                #""structured_outputs":{"json":{},"whitespace_pattern":"a"}"#,
                "structured_outputs.whitespace_pattern"
            ),
            (
                #""structured_outputs":{"json":{},"disable_any_whitespace":true}"#,
                "structured_outputs.disable_any_whitespace"
            ),
            (#""structured_outputs":{"grammar":"a"}"#, "structured_outputs.grammar"),
            (#""structured_outputs":{"choice":[]}"#, "structured_outputs.choice"),
            (#""guided_json":"no""#, "guided_json"), (#""guided_choice":[1]"#, "guided_choice"),
            (#""stop_token_ids":[-1]"#, "stop_token_ids[0]"), (#""stop_token_ids":1"#, "stop_token_ids"),
            (#""documents":[1]"#, "documents[0]"),
            (
                #""stream":true,"stream_options":{"continuous_usage_stats":true}"#,
                "stream_options.continuous_usage_stats"
            ),
        ])
    func refused(fields: String, param: String) async throws {
        let answering = try fake()
        let error = try #require(
            try await fault("{\(Self.hello),\(fields)}", ChatCompletions.reply, answering))
        #expect(error.status == 400 && error.param == param && error.message.contains("'\(param)'"))
        #expect(answering.requests.isEmpty)
    }

    @Test("fields that ask for what happens anyway, or for the operator's records, change nothing")
    func harmless() async throws {
        let chat = try await chat(
            """
            "modalities":["text"],"verbosity":"medium","echo":false,"add_special_tokens":false,"min_tokens":0,
            "bad_words":[],"include_stop_str_in_output":false,"skip_special_tokens":true,"use_beam_search":false,
            "best_of":1,"return_token_ids":false,"logits_processors":[],"vllm_xargs":{},"guided_regex":null,
            "audio":null,"stop_token_ids":[],"metadata":{"a":"b"},"service_tier":"auto","safety_identifier":"x",
            "store":false,"prediction":{"type":"content","content":"x"},"priority":1,"request_id":"r",
            "spaces_between_special_tokens":true,"length_penalty":1.0,"prompt_cache_retention":"24h"
            """)
        let plain = try await self.chat(#""unknown":1"#)
        #expect(chat.sampling == plain.sampling && chat.format == .text && chat.stopTokens.isEmpty)
        #expect(chat.documents == nil)
    }

    @Test("tokens that end the answer, documents and formats by other names are passed on")
    func honoured() async throws {
        #expect(try await chat(#""stop_token_ids":[3,5]"#).stopTokens == [3, 5])
        #expect(try await chat(#""documents":[{"title":"a","text":"b"}]"#).documents?.count == 1)
        let schema: JSON = ["type": "array"]
        for fields in [
            #""guided_json":{"type":"array"}"#, #""guided_json":"{\"type\":\"array\"}""#,
            #""structured_outputs":{"json":{"type":"array"}}"#,
            #""response_format":{"type":"json_schema","schema":{"type":"array"}}"#,
            #""response_format":{"type":"json_object","schema":{"type":"array"}}"#,
            #""response_format":{"type":"text"},"guided_json":{"type":"array"}"#,
        ] {
            #expect(try await chat(fields).format == .jsonSchema(schema), "\(fields)")
        }
        for fields in [#""guided_choice":["a","b"]"#, #""structured_outputs":{"choice":["a","b"]}"#] {
            #expect(try await chat(fields).format == .choice(["a", "b"]))
        }
        #expect(try await chat(#""structured_outputs":{"json_object":true}"#).format == .jsonObject)
        for fields in [#""guided_regex":"a+""#, #""structured_outputs":{"regex":"a+"}"#] {
            #expect(try await chat(fields).format == .expression("a+"))
        }
    }

    @Test("what has to be in an answer, and what must not, is passed on")
    func limits() async throws {
        let chat = try await chat(
            """
            "min_tokens":3,"bad_words":["x"],"allowed_token_ids":[1,2],"include_stop_str_in_output":true,
            "skip_special_tokens":false
            """)
        #expect(chat.minimumTokens == 3 && chat.badWords == ["x"])
        #expect(chat.sampling.allowedTokens == [1, 2])
        #expect(chat.showsStop && chat.showsSpecialTokens)
    }

    @Test("text completions take formats, and refuse what they cannot do")
    func completions() async throws {
        let answering = try fake()
        let body = #"{"prompt":"a","guided_choice":["x","y"],"add_special_tokens":true}"#
        _ = try await Completions.reply(asking(body), answering)
        #expect(answering.requests.first?.format == .choice(["x", "y"]))
        for (fields, param) in [
            (#""add_special_tokens":false"#, "add_special_tokens"),
            (#""prompt_embeds":"x""#, "prompt_embeds"),
            (#""prompt_logprobs":0"#, "prompt_logprobs"), (#""min_tokens":17"#, "min_tokens"),
            (#""best_of":3"#, "best_of"),
        ] {
            let error = try await fault(#"{"prompt":"a",\#(fields)}"#, Completions.reply, answering)
            #expect(error?.param == param)
        }
    }

    @Test("an answer is one of some texts")
    func chosen() async throws {
        let server = try await TestServer.shared.value
        let reply = try await server.chat(
            "Say yes.", tokens: 40, [.init("guided_choice", ["yes, it is", "no"])])
        let text = reply.json["choices"]?.array?.first?["message"]?["content"]?.string
        #expect(text == "yes, it is" || text == "no")
        let completion = try await server.post(
            "/v1/completions",
            [
                "prompt": "The patient has", "max_tokens": 40,
                "structured_outputs": ["choice": [" asthma", " no"]],
            ])
        let words = completion.json["choices"]?.array?.first?["text"]?.string ?? ""
        #expect([" asthma", " no"].contains(words), "\(words)")
    }

    @Test("a token of the client's choice ends the answer, also where the model's own does not")
    func stopTokens() async throws {
        let server = try await TestServer.shared.value
        let body: [JSON.Member] = [
            .init("prompt", [5, 6, 7]), .init("max_tokens", 8), .init("temperature", 0),
            .init("logit_bias", ["42": 100]), .init("ignore_eos", true),
        ]
        func reason(_ more: [JSON.Member]) async throws -> String? {
            let reply = try await server.post("/v1/completions", .object(body + more))
            return reply.json["choices"]?.array?.first?["finish_reason"]?.string
        }
        #expect(try await reason([]) == "length")
        #expect(try await reason([.init("stop_token_ids", [7, 42])]) == "stop")
        #expect(try await reason([.init("stop_token_ids", [7])]) == "length")
    }

    @Test("an answer is what a regular expression describes, from its beginning to its end")
    func expression() async throws {
        let server = try await TestServer.shared.value
        for field in [
            JSON.Member("guided_regex", "(yes|no), [0-9]{2} times"),
            JSON.Member("structured_outputs", ["regex": "^(yes|no), [0-9]{2} times$"]),
        ] {
            let text = try await server.chat("Say yes.", tokens: 40, [field]).answer ?? ""
            #expect(text.wholeMatch(of: /(yes|no), [0-9]{2} times/) != nil, "\(text)")
        }
        let refused = try await server.chat("Say yes.", [.init("guided_regex", "(?=a)b")])
        #expect(refused.status == 400 && refused.errorCode == "invalid_regex")
    }

    @Test("an answer does not end before it has as many tokens as it must")
    func leastTokens() async throws {
        let server = try await TestServer.shared.value
        func reply(_ more: [JSON.Member]) async throws -> JSON {
            let body: [JSON.Member] = [
                .init("prompt", [5, 6, 7]), .init("max_tokens", 8), .init("temperature", 0),
                .init("logit_bias", ["1": 100]),
            ]
            return try await server.post("/v1/completions", .object(body + more)).json
        }
        // The model's end token is drawn as soon as it may be.
        for (least, count) in [(0, 1), (3, 4), (8, 8)] {
            let reply = try await reply([.init("min_tokens", .int(least))])
            #expect(reply["usage"]?["completion_tokens"]?.int == count)
            let reason = reply["choices"]?.array?.first?["finish_reason"]?.string
            #expect(reason == (least == 8 ? "length" : "stop"))
        }
    }

    @Test("an answer holds only allowed tokens, and no forbidden words")
    func words() async throws {
        let server = try await TestServer.shared.value
        func text(_ more: [JSON.Member]) async throws -> String {
            let body: [JSON.Member] = [
                .init("prompt", "The patient"), .init("max_tokens", 12), .init("temperature", 0),
                .init("ignore_eos", true),
            ]
            let reply = try await server.post("/v1/completions", .object(body + more))
            return reply.json["choices"]?.array?.first?["text"]?.string ?? "nothing"
        }
        let free = try await text([])
        let word = try #require(free.split(separator: " ").first.map { String($0) })
        let without = try await text([.init("bad_words", [.string(word)])])
        #expect(without != free)
        #expect(without.split(separator: " ").first.map { String($0) } != word)
        let tokens = try await server.post(
            "/tokenize", ["prompt": " a", "add_special_tokens": false])
        let allowed = try #require(tokens.json["tokens"])
        let only = try await text([.init("allowed_token_ids", allowed)])
        #expect(!only.isEmpty && only.allSatisfy { " a".contains($0) }, "\(only)")
    }

    @Test("the text that ends an answer, and special tokens, are shown where they are asked for")
    func shown() async throws {
        let server = try await TestServer.shared.value
        func text(_ more: [JSON.Member]) async throws -> String? {
            let body: [JSON.Member] = [
                .init("prompt", "The patient"), .init("max_tokens", 12), .init("temperature", 0),
            ]
            let reply = try await server.post("/v1/completions", .object(body + more))
            return reply.json["choices"]?.array?.first?["text"]?.string
        }
        let free = try #require(try await text([.init("ignore_eos", true)]))
        let end = String(free.dropFirst(6).prefix(4))
        let cut = try #require(try await text([.init("ignore_eos", true), .init("stop", .string(end))]))
        let whole = try await text([
            .init("ignore_eos", true), .init("stop", .string(end)),
            .init("include_stop_str_in_output", true),
        ])
        #expect(whole == cut + end)
        let special: [JSON.Member] = [.init("logit_bias", ["1": 100]), .init("ignore_eos", true)]
        #expect(try await text(special) == "")
        let marks = try #require(try await text(special + [.init("skip_special_tokens", false)]))
        #expect(!marks.isEmpty)
    }

    @Test("a model answers to further names")
    func aliases() async throws {
        let model = try ServedModel.fake(aliases: ["gpt-5", "claude"])
        let answering = FakeAnswering(model: model) { _ in
            FakeAnswering.Script(events: [ChatEvent(choice: 0, .finished(.end, usage(3, 1)))])
        }
        for (name, profile) in [("tiny", "plain"), ("gpt-5", "plain"), ("claude:scx", "scx")] {
            let body = #"{\#(Self.hello),"model":"\#(name)"}"#
            let reply = try whole(try await ChatCompletions.reply(asking(body), answering))
            #expect(reply.json["model"]?.string == name)
            #expect(answering.requests.last?.profile == profile)
        }
        guard case .json(let list, _) = try await Models.list(asking("{}"), answering) else { return }
        #expect(list["data"]?.array?.map { $0["id"]?.string } == ["tiny", "gpt-5", "claude", "tiny:scx"])
        let other = try await fault(
            #"{\#(Self.hello),"model":"gpt-4"}"#, ChatCompletions.reply, answering)
        #expect(other?.status == 404)
    }
}

import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

@Suite("text completions")
struct CompletionsTests {
    let route: Route = Completions.reply

    /// Answers each prompt with these events, the same for each choice.
    func fake(
        _ events: [ChatEvent.Kind] = [.finished(.end, usage(3, 1))], prompt: [Int32] = [1, 2, 3]
    ) throws -> FakeAnswering {
        FakeAnswering(model: try .fake()) { request in
            let tokens = if case .tokens(let tokens) = request.prompt { tokens } else { prompt }
            return FakeAnswering.Script(
                prompt: tokens,
                events: (0..<request.count).flatMap { choice in
                    events.map { ChatEvent(choice: choice, $0) }
                })
        }
    }

    func id(_ text: String) throws -> Int32 {
        try #require(try ServedModel.fake().requireTokenizer().id(for: text))
    }

    // MARK: Reading

    @Test("a prompt is a text, tokens, or a list of such")
    func prompts() async throws {
        func asked(_ prompt: String) async throws -> [String] {
            let answering = try fake()
            _ = try await route(asking(#"{"prompt":\#(prompt)}"#), answering)
            return answering.requests.map { "\($0.prompt)" }
        }
        #expect(try await asked(#""Hi""#) == [#"text("Hi")"#])
        #expect(try await asked("[5,6]") == ["tokens([5, 6])"])
        #expect(try await asked(#"["a","b"]"#) == [#"text("a")"#, #"text("b")"#])
        #expect(try await asked("[[5],[6,7]]") == ["tokens([5])", "tokens([6, 7])"])
    }

    @Test("fields arrive, and what is missing has OpenAI's default")
    func fields() async throws {
        let answering = try fake()
        _ = try await route(
            asking(
                #"{"prompt":"a","model":"tiny:scx","echo":true,"logprobs":2,"max_tokens":0,"n":2,"best_of":2,"#
                    + #""suffix":"","stop":"x","seed":3,"temperature":0}"#), answering)
        let chat = try #require(answering.requests.first)
        #expect(chat.promptAlternatives == 2 && chat.sampling.topLogprobs == 2 && chat.maximumTokens == 0)
        #expect(chat.count == 2 && chat.stop == ["x"] && chat.profile == "scx" && chat.key == "team")
        #expect(chat.sampling.seed == 3 && chat.sampling.temperature == 0)
        let plain = try fake()
        _ = try await route(asking(#"{"prompt":"a"}"#), plain)
        let second = try #require(plain.requests.first)
        #expect(second.maximumTokens == 16 && second.promptAlternatives == nil && second.count == 1)
        #expect(second.sampling == SamplingParameters())
    }

    @Test(
        "a wrong field is refused by name",
        arguments: [
            ("", "prompt"), (#""prompt":[]"#, "prompt"), (#""prompt":{}"#, "prompt"),
            (#""prompt":[1,"a"]"#, "prompt[1]"), (#""prompt":["a",3]"#, "prompt[1]"),
            (#""prompt":[[]]"#, "prompt[0]"), (#""prompt":[[1],[2,-1]]"#, "prompt[1][1]"),
            (#""prompt":[99999999999]"#, "prompt[0]"), (#""prompt":"a","max_tokens":0"#, "max_tokens"),
            (#""prompt":"a","echo":true,"max_tokens":-1"#, "max_tokens"),
            (#""prompt":"a","logprobs":21"#, "logprobs"), (#""prompt":"a","logprobs":true"#, "logprobs"),
            (#""prompt":"a","best_of":2"#, "best_of"), (#""prompt":"a","suffix":"b""#, "suffix"),
            (#""prompt":"a","echo":1"#, "echo"), (#""prompt":"a","n":17"#, "n"),
        ])
    func wrongFields(_ fields: String, _ param: String) async throws {
        let error = try await fault("{\(fields)}", route, fake())
        #expect(error?.status == 400)
        #expect(error?.param == param)
    }

    @Test("too many answers at once are refused, and another model is not found")
    func limits() async throws {
        let many = "[" + Array(repeating: "[1]", count: 257).joined(separator: ",") + "]"
        #expect(try await fault(#"{"prompt":\#(many)}"#, route, fake())?.param == "prompt")
        let some = "[" + Array(repeating: "[1]", count: 17).joined(separator: ",") + "]"
        #expect(try await fault(#"{"prompt":\#(some),"n":16}"#, route, fake())?.param == "prompt")
        #expect(try await fault(#"{"prompt":"a","model":"x"}"#, route, fake())?.status == 404)
    }

    // MARK: Whole replies

    @Test("choices of several prompts are numbered through, and every prompt counts")
    func numbered() async throws {
        let answering = try fake([.text("t", tokens: [token(9)]), .finished(.length, usage(2, 1))])
        let (json, headers) = try whole(
            try await route(asking(#"{"prompt":["a","b"],"n":2,"echo":true}"#), answering))
        func choice(_ index: Int, _ text: String) -> String {
            #"{"index":\#(index),"text":"\#(text)","logprobs":null,"finish_reason":"length"}"#
        }
        let list = [choice(0, "at"), choice(1, "at"), choice(2, "bt"), choice(3, "bt")]
        let expected =
            #"{"object":"text_completion","model":"tiny","system_fingerprint":"scx-plain","choices":["#
            + list.joined(separator: ",")
            + #"],"usage":{"prompt_tokens":4,"completion_tokens":4,"total_tokens":8,"#
            + #""prompt_tokens_details":{"cached_tokens":0}},\#(costs(4))}"#
        #expect(json.text == expected)
        #expect(headers.first { $0.name == "x-scx-exchanges" }?.value == "28")
    }

    @Test("the prompt's tokens come first with their probabilities, as lm-eval reads them")
    func echoed() async throws {
        let (a, b, c) = (try id("a"), try id("b"), try id("c"))
        let answering = try fake([
            .promptScores([
                token(b, -0.25, top: [(b, -0.25)]), token(c, -3, top: [(a, -0.125)]),
            ]), .text("a", tokens: [token(a, -1, top: [(a, -1)])]), .finished(.length, usage(3, 1)),
        ])
        let body =
            #"{"prompt":[[\#(a),\#(b),\#(c)]],"echo":true,"logprobs":1,"max_tokens":1,"temperature":0}"#
        let json = try whole(try await route(asking(body), answering)).json
        let choice = try #require(json["choices"]?.array?.first)
        #expect(choice["text"]?.string == "abca")
        let expected =
            #"{"text_offset":[0,1,2,3],"token_logprobs":[null,-0.25,-3.0,-1.0],"tokens":["a","b","c","a"],"#
            + #""top_logprobs":[null,{"b":-0.25},{"c":-3.0,"a":-0.125},{"a":-1.0}]}"#
        #expect(choice["logprobs"]?.text == expected)
    }

    @Test("without echo only the answer's tokens have probabilities; half a character is told by its byte")
    func logprobs() async throws {
        let half = try id("Ã")
        let answering = try fake([
            .text("", tokens: [token(half, -0.5)]), .finished(.length, usage(3, 1)),
        ])
        let json = try whole(try await route(asking(#"{"prompt":"a","logprobs":0}"#), answering)).json
        let expected =
            #"{"text_offset":[0],"token_logprobs":[-0.5],"tokens":["bytes:\\xc3"],"#
            + #""top_logprobs":[{"bytes:\\xc3":-0.5}]}"#
        #expect(json["choices"]?.array?.first?["logprobs"]?.text == expected)
    }

    @Test("a model without a tokenizer answers with token ids")
    func withoutTokenizer() async throws {
        let answering = FakeAnswering(model: try .fake(tokenizer: nil)) { _ in
            FakeAnswering.Script(
                prompt: [4],
                events: [.text("", tokens: [token(7, -1)]), .finished(.length, usage(1, 1))].map {
                    ChatEvent(choice: 0, $0)
                })
        }
        let body = #"{"prompt":[4],"logprobs":0,"echo":true}"#
        let json = try whole(try await route(asking(body), answering)).json
        let tokens = json["choices"]?.array?.first?["logprobs"]?["tokens"]
        #expect(tokens == ["token_id:4", "token_id:7"])
    }

    @Test("tokens of SentencePiece keep their space and their byte")
    func sentencePiece() async throws {
        let model = try ServedModel.fake(tokenizer: "llama2")
        let tokenizer = try model.requireTokenizer()
        let word = try #require(tokenizer.id(for: "▁the"))
        let byte = try #require(tokenizer.id(for: "<0xC3>"))
        let answering = FakeAnswering(model: model) { _ in
            FakeAnswering.Script(
                prompt: [word],
                events: [
                    .text(" the", tokens: [token(word, -1), token(byte, -1), token(1, -1)]),
                    .finished(.length, usage(1, 3)),
                ].map { ChatEvent(choice: 0, $0) })
        }
        let body = #"{"prompt":"a","logprobs":0}"#
        let json = try whole(try await route(asking(body), answering)).json
        let logprobs = json["choices"]?.array?.first?["logprobs"]
        #expect(logprobs?["tokens"] == [" the", "bytes:\\xc3", "<s>"])
        #expect(logprobs?["text_offset"]?.array?.prefix(2) == [0, 4])
    }

    @Test("one prompt that cannot be answered ends the request, whole or streamed")
    func oneFails() async throws {
        let answering = FakeAnswering(model: try .fake()) { request throws(APIError) in
            guard case .tokens([2]) = request.prompt else {
                return FakeAnswering.Script(
                    events: [ChatEvent(choice: 0, .finished(.length, usage(1, 0)))])
            }
            throw APIError(AdmissionError.draining)
        }
        #expect(try await fault(#"{"prompt":[[1],[2]]}"#, route, answering)?.status == 503)
        #expect(try await fault(#"{"prompt":[[1],[2]],"stream":true}"#, route, answering)?.status == 503)
    }

    // MARK: Streams

    @Test("a stream repeats the prompt first where asked to, and ends with usage and costs")
    func streamed() async throws {
        let (a, b) = (try id("a"), try id("b"))
        let answering = try fake([
            .promptScores([token(b, -2)]), .text("a", tokens: [token(a, -1)]),
            .finished(.end, usage(2, 1)),
        ])
        let events = try await events(
            try await route(
                asking(
                    #"{"prompt":[\#(a),\#(b)],"echo":true,"logprobs":0,"stream":true,"#
                        + #""stream_options":{"include_usage":true}}"#), answering))
        let head =
            #"{"object":"text_completion","model":"tiny","system_fingerprint":"scx-plain","choices":"#
        func chunk(_ text: String, _ logprobs: String, _ finish: String = "null") -> String {
            head
                + #"[{"index":0,"text":"\#(text)","logprobs":{\#(logprobs)},"finish_reason":\#(finish)}],"usage":null}"#
        }
        let echo =
            #""text_offset":[0,1],"token_logprobs":[null,-2.0],"tokens":["a","b"],"top_logprobs":[null,{"b":-2.0}]"#
        let drawn =
            #""text_offset":[2],"token_logprobs":[-1.0],"tokens":["a"],"top_logprobs":[{"a":-1.0}]"#
        let none = #""text_offset":[],"token_logprobs":[],"tokens":[],"top_logprobs":[]"#
        let total =
            #"[],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3,"#
            + #""prompt_tokens_details":{"cached_tokens":0}},\#(costs())}"#
        #expect(
            events == [
                chunk("ab", echo), chunk("a", drawn), chunk("", none, #""stop""#), head + total, "[DONE]",
            ])
    }

    @Test("streams of several prompts end together")
    func streamedPrompts() async throws {
        let answering = try fake([.text("t", tokens: []), .finished(.length, usage(2, 1))])
        let events = try await events(
            try await route(asking(#"{"prompt":["a","b"],"n":2,"stream":true}"#), answering))
        #expect(events.count == 9 && events.last == "[DONE]")
        for index in 0..<4 {
            #expect(events.count { $0.contains(#""index":\#(index),"text":"t""#) } == 1)
        }
        #expect(events.count { $0.contains(#""scx":"#) } == 1)
        #expect(events[7].hasSuffix(costs(4) + "}"))
    }
}

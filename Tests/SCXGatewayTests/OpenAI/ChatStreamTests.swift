import SCXEngine
import SCXGateway
import SCXInference
import SCXText
import Testing

@Suite("streams of chat completions")
struct ChatStreamTests {
    let route: Route = ChatCompletions.reply

    func stream(_ fields: String = "", _ answering: FakeAnswering) async throws -> [String] {
        let body = #"{"messages":[{"role":"user","content":"Hi"}],"stream":true\#(fields)}"#
        return try await events(try await route(asking(body), answering))
    }

    /// An object with one choice.
    func chunk(
        _ delta: String, index: Int = 0, logprobs: String = "null", finish: String = "null", more: String = ""
    ) -> String {
        head
            + #"[{"index":\#(index),"delta":\#(delta),"logprobs":\#(logprobs),"finish_reason":\#(finish)}]\#(more)}"#
    }

    let head =
        #"{"object":"chat.completion.chunk","model":"tiny","system_fingerprint":"scx-plain","choices":"#
    let role = #"{"role":"assistant","content":"","refusal":null}"#

    @Test("the role comes first, then texts, the reason, and the end")
    func texts() async throws {
        let answering = try FakeAnswering(
            [
                .text("He", tokens: [token(1)]), .text("", tokens: [token(2)]),
                .text("llo", tokens: [token(3)]),
                .finished(.end, usage(3, 3)),
            ].map { ChatEvent(choice: 0, $0) })
        let events = try await stream("", answering)
        #expect(
            events == [
                chunk(role), chunk(#"{"content":"He"}"#), chunk(#"{"content":"llo"}"#),
                chunk("{}", finish: #""stop""#, more: "," + costs()), "[DONE]",
            ])
    }

    @Test("the usage comes in a chunk of its own where it was asked for, and null before")
    func usageChunk() async throws {
        let answering = try FakeAnswering([ChatEvent(choice: 0, .finished(.length, usage(3, 0)))])
        let events = try await stream(#","stream_options":{"include_usage":true}"#, answering)
        let none = #","usage":null"#
        let total =
            #"[],"usage":{"prompt_tokens":3,"completion_tokens":0,"total_tokens":3,"#
            + #""prompt_tokens_details":{"cached_tokens":0}},\#(costs())}"#
        #expect(
            events == [
                chunk(role, more: none), chunk("{}", finish: #""length""#, more: none), head + total,
                "[DONE]",
            ])
    }

    @Test("calls of functions come in pieces")
    func calls() async throws {
        let answering = try FakeAnswering(
            [
                .callBegan(index: 0, id: "call_1", name: "f"), .callArguments(index: 0, "{}"),
                .finished(.toolCalls, usage(3, 3)),
            ].map { ChatEvent(choice: 0, $0) })
        let events = try await stream("", answering)
        let began =
            #"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}"#
        #expect(
            events == [
                chunk(role), chunk(began),
                chunk(#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#),
                chunk("{}", finish: #""tool_calls""#, more: "," + costs()), "[DONE]",
            ])
    }

    @Test("thoughts come before the answer, in chunks of their own")
    func reasoning() async throws {
        let answering = try FakeAnswering(
            [
                .reasoning("Hm", tokens: [token(1)]), .text("Yes", tokens: [token(2)]),
                .finished(.end, usage(3, 3)),
            ].map { ChatEvent(choice: 0, $0) })
        #expect(
            try await stream("", answering) == [
                chunk(role), chunk(#"{"reasoning_content":"Hm"}"#), chunk(#"{"content":"Yes"}"#),
                chunk("{}", finish: #""stop""#, more: "," + costs()), "[DONE]",
            ])
    }

    @Test("probabilities are in the chunks of their tokens, also without text")
    func logprobs() async throws {
        let id = try #require(try ServedModel.fake().requireTokenizer().id(for: "a"))
        let answering = try FakeAnswering(
            [.text("", tokens: [token(id, -1)]), .finished(.end, usage(3, 1))].map {
                ChatEvent(choice: 0, $0)
            })
        let events = try await stream(#","logprobs":true"#, answering)
        let logprobs =
            #"{"content":[{"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[]}],"refusal":null}"#
        #expect(events[1] == chunk(#"{"content":""}"#, logprobs: logprobs))
    }

    @Test("each choice has its role and end; the costs are all told in the last chunk")
    func choices() async throws {
        let answering = try FakeAnswering([
            ChatEvent(choice: 1, .text("b", tokens: [])),
            ChatEvent(choice: 0, .finished(.end, usage(3, 1))),
            ChatEvent(choice: 1, .finished(.length, usage(3, 1))),
        ])
        let events = try await stream(#","n":2"#, answering)
        #expect(
            events == [
                chunk(role, index: 1), chunk(#"{"content":"b"}"#, index: 1), chunk(role),
                chunk("{}", finish: #""stop""#),
                chunk("{}", index: 1, finish: #""length""#, more: "," + costs(2)), "[DONE]",
            ])
    }

    @Test("an error before the first event is the reply's; a later one is an event and the end")
    func errors() async throws {
        let failure = APIError(AdmissionError.queueFull(limit: 3))
        let early = try FakeAnswering([], failure: failure)
        await #expect(throws: failure) { try await stream("", early) }
        let late = try FakeAnswering([ChatEvent(choice: 0, .text("a", tokens: []))], failure: failure)
        let events = try await stream("", late)
        #expect(events == [chunk(role), chunk(#"{"content":"a"}"#), "error: " + failure.json.text])
        let cut = try FakeAnswering([ChatEvent(choice: 0, .text("a", tokens: []))])
        let last = try await stream("", cut).last
        #expect(last?.contains(#""code":"internal_error""#) == true)
    }

    @Test("a client that goes cancels its request")
    func cancelled() async throws {
        let (source, continuation) = AsyncThrowingStream<ChatEvent, any Error>.makeStream()
        let (ended, endedContinuation) = AsyncStream<Void>.makeStream()
        continuation.onTermination = { _ in endedContinuation.finish() }
        let answering = EndlessAnswering(model: try .fake(), events: source)
        let body = #"{"messages":[{"role":"user","content":"Hi"}],"stream":true}"#
        guard case .events(let stream, _) = try await route(asking(body), answering) else { return }
        continuation.yield(ChatEvent(choice: 0, .text("a", tokens: [])))
        let reader = Task { for try await _ in stream {} }
        reader.cancel()
        for await _ in ended {}
    }
}

/// Gives a stream that the test holds.
private struct EndlessAnswering: Answering {
    let model: ServedModel
    let events: AsyncThrowingStream<ChatEvent, any Error>

    func chat(_ request: ChatRequest) async throws(APIError) -> RunningChat {
        RunningChat(prompt: [1], profile: "plain", events: events)
    }

    func embed(_ request: EmbeddingRequest) async throws(APIError) -> [TextReading] {
        throw .invalid("nothing is embedded here")
    }

    func rerank(_ request: RerankRequest) async throws(APIError) -> [TextReading] {
        throw .invalid("nothing is scored here")
    }
}

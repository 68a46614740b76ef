import SCXGateway
import SCXInference
import Testing

@Suite("Readers that leave")
struct CancellationTests {
    @Test("an answer that nobody reads on is cancelled", .timeLimit(.minutes(60)), arguments: [false, true])
    func cancelled(_ isAnthropic: Bool) async throws {
        let answers = EndlessAnswers(model: try ServedModel.fake(tokenizer: nil))
        try await readOne(isAnthropic, answers)
        // Ends when the request does.
        for await _ in answers.ends {}
    }

    private func readOne(_ isAnthropic: Bool, _ answers: EndlessAnswers) async throws {
        let reply =
            isAnthropic
            ? try await AnthropicRoutes.messages(
                request("{\(AnthropicRouteTests.hi),\"stream\":true}"), answers)
            : try await ResponsesRoutes.create(
                request(#"{"input":"Hi","stream":true}"#), answers, ResponseStore())
        guard case .events(let events, _) = reply else { throw WrongReply() }
        for try await _ in events { return }
    }
}

/// Begins an answer that never ends.
private final class EndlessAnswers: Answering {
    let model: ServedModel
    /// Finishes when the answer is cancelled.
    let ends: AsyncStream<Void>
    private let end: AsyncStream<Void>.Continuation

    init(model: ServedModel) {
        self.model = model
        (ends, end) = AsyncStream.makeStream()
    }

    func chat(_ request: ChatRequest) throws(APIError) -> RunningChat {
        let events = AsyncThrowingStream<ChatEvent, any Error> { continuation in
            continuation.onTermination = { [end] _ in end.finish() }
            continuation.yield(ChatEvent(choice: 0, .text("a", tokens: [])))
        }
        return RunningChat(prompt: [1], profile: "plain", events: events)
    }

    func embed(_ request: EmbeddingRequest) throws(APIError) -> [TextReading] {
        throw .invalid("nothing is embedded here")
    }

    func rerank(_ request: RerankRequest) throws(APIError) -> [TextReading] {
        throw .invalid("nothing is scored here")
    }
}

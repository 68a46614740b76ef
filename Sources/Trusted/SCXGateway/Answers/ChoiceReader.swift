import SCXLink
import SCXTrusted

/// Makes of an engine's events what happens to one answer.
struct ChoiceReader: Sendable {
    let choice: Int
    private var usage = ChatUsage()
    private let format: ToolCallFormat?
    private var parser: ToolCallParser?
    private(set) var hasFinished = false

    /// - Parameters:
    ///   - choice: The answer's number.
    ///   - promptTokens: Tokens of the prompt.
    ///   - format: How the model writes calls; nil when it was told of no tools.
    ///   - mostCalls: Calls that may be made.
    init(choice: Int, promptTokens: Int, format: ToolCallFormat?, mostCalls: Int) {
        self.choice = choice
        self.format = format
        parser = format.map { ToolCallParser($0, mostCalls: mostCalls) }
        usage.promptTokens = promptTokens
    }

    mutating func read(_ event: SessionEvent) -> [ChatEvent.Kind] {
        var kinds: [ChatEvent.Kind] = []
        if !event.promptScores.isEmpty { kinds.append(.promptScores(event.promptScores)) }
        if event.token != nil { usage.answerTokens += 1 }
        usage.cachedTokens = event.usage.cachedTokens
        usage.exchanges = event.usage.traffic.exchanges
        usage.bytesSent = event.usage.traffic.bytesSent
        usage.bytesReceived = event.usage.traffic.bytesReceived
        var tokens = event.token.map { [$0] } ?? []
        var calls = parser?.push(event.text) ?? [.text(event.text)]
        if event.finished != nil { calls += parser?.finish() ?? [] }
        for call in calls {
            switch call {
            case .text(let text):
                kinds.append(.text(text, tokens: tokens))
                tokens = []
            case .callBegan(let index, let name):
                kinds.append(.callBegan(index: index, id: format?.newCallID() ?? "", name: name))
            case .arguments(let index, let text): kinds.append(.callArguments(index: index, text))
            case .callEnded: break
            }
        }
        if !tokens.isEmpty { kinds.append(.text("", tokens: tokens)) }
        guard let reason = event.finished ?? (parser?.isComplete == true ? .stop : nil) else { return kinds }
        hasFinished = true
        kinds.append(.finished(finish(reason, event.stopText), usage))
        return kinds
    }

    private func finish(_ reason: FinishReason, _ stopText: String?) -> ChatFinish {
        if let parser, parser.callCount > 0 { return .toolCalls }
        switch reason {
        case .stop: return stopText.map { .stopText($0) } ?? .end
        case .length, .cancelled, .failed: return .length
        }
    }
}

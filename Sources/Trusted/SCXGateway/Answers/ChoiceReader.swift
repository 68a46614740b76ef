import SCXEngine
import SCXLink
import SCXText

/// Makes of an engine's events what happens to one answer, and tells the server's observer of it.
struct ChoiceReader: Sendable {
    let choice: Int
    let profile: String
    private let prompt: [Int32]
    private let format: ToolCallFormat?
    private let showsReasoning: Bool
    private let observer: ServerObserver
    private let capture: ViewCapture?
    private let start = ContinuousClock.now
    private var lastToken: ContinuousClock.Instant?
    private var parser: AnswerParser
    private var reasoningTokens = 0
    private var usage = SessionUsage()
    private var reason: FinishReason?
    /// Kept for the worker's view alone.
    private var answer: [Int32] = []
    private(set) var answerTokens = 0

    /// - Parameters:
    ///   - choice: The answer's number.
    ///   - profile: It is computed in.
    ///   - prompt: The prompt's tokens.
    ///   - parser: Tells thoughts, text and calls from each other.
    ///   - format: How the model writes calls; nil when it was told of no tools.
    ///   - showsReasoning: Whether thoughts are told.
    ///   - observer: Hears of the answer.
    ///   - capture: Keeps what the worker sees.
    init(
        choice: Int, profile: String, prompt: [Int32], parser: AnswerParser, format: ToolCallFormat?,
        showsReasoning: Bool, observer: ServerObserver, capture: ViewCapture?
    ) {
        (self.choice, self.profile, self.prompt) = (choice, profile, prompt)
        (self.parser, self.format, self.showsReasoning) = (parser, format, showsReasoning)
        (self.observer, self.capture) = (observer, capture)
    }

    /// Whether the answer has ended.
    var hasFinished: Bool { reason != nil }

    mutating func read(_ event: SessionEvent) -> [ChatEvent.Kind] {
        usage = event.usage
        if let token = event.token { count(token) }
        var kinds: [ChatEvent.Kind] = []
        if !event.promptScores.isEmpty { kinds.append(.promptScores(event.promptScores)) }
        var tokens = event.token.map { [$0] } ?? []
        let wasReasoning = parser.isReasoning
        var parts = parser.push(event.text)
        if event.token != nil, wasReasoning || parser.isReasoning { reasoningTokens += 1 }
        let wholeCalls = parser.callCount
        if event.finished != nil { parts += parser.finish(atLimit: event.finished == .length) }
        // Clients make the calls of an answer that ends with them: one that the limit cut has no whole arguments.
        let isCut = event.finished == .length && parser.callCount > wholeCalls
        for part in parts {
            switch part {
            case .reasoning(let text):
                guard showsReasoning else { continue }
                kinds.append(.reasoning(text, tokens: tokens))
                tokens = []
            case .text(let text):
                kinds.append(.text(text, tokens: tokens))
                tokens = []
            case .callBegan(let index, let name, let id):
                kinds.append(.callBegan(index: index, id: id ?? format?.newCallID() ?? "", name: name))
            case .arguments(let index, let text): kinds.append(.callArguments(index: index, text))
            case .callEnded: break
            }
        }
        if !tokens.isEmpty { kinds.append(.text("", tokens: tokens)) }
        reason = event.finished ?? (parser.isComplete ? .stop : nil)
        if let reason {
            capture?.finish(prompt: prompt, answer: answer)
            kinds.append(.finished(isCut ? .length : finish(reason, event.stopText), costs))
        }
        return kinds
    }

    private mutating func count(_ token: SampledToken) {
        let now = ContinuousClock.now
        if let lastToken {
            observer.metrics.nextToken(profile: profile, after: now - lastToken)
        } else {
            observer.metrics.firstToken(profile: profile, after: now - start)
        }
        lastToken = now
        answerTokens += 1
        if capture != nil { answer.append(token.id) }
    }

    private func finish(_ reason: FinishReason, _ stopText: String?) -> ChatFinish {
        if parser.callCount > 0 { return .toolCalls }
        switch reason {
        case .stop: return stopText.map { .stopText($0) } ?? .end
        case .length, .cancelled, .failed: return .length
        }
    }

    private var costs: ChatUsage {
        var costs = ChatUsage()
        costs.promptTokens = prompt.count
        costs.answerTokens = answerTokens
        costs.reasoningTokens = reasoningTokens
        costs.cachedTokens = usage.cachedTokens
        costs.exchanges = usage.traffic.exchanges
        costs.bytesSent = usage.traffic.bytesSent
        costs.bytesReceived = usage.traffic.bytesReceived
        costs.pads = usage.pads
        return costs
    }

    /// Says how it ended; an answer that nobody read to its end was cancelled.
    func end(_ error: (any Error)? = nil) {
        if let error { observer.answerFailed(profile: profile, error) }
        observer.answerEnded(
            profile: profile, error == nil ? reason ?? .cancelled : .failed, promptTokens: prompt.count,
            answerTokens: answerTokens, usage: usage, after: ContinuousClock.now - start)
    }
}

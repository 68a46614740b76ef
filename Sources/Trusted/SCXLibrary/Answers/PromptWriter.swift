import SCXEngine
import SCXInference
import SCXText

/// A request as the engine takes it, and how its answer is read.
struct PreparedRequest: Sendable {
    var request: GenerationRequest
    let parser: AnswerParser
}

/// Turns texts and conversations into requests.
struct PromptWriter: Sendable {
    private let name: String
    private let tokenizer: Tokenizer?
    private let format: ChatFormat?
    private let formatFault: String?
    private let stopTokens: Set<Int32>
    private let contextLength: Int
    private let embedder: TextEmbedder
    private let generates: Bool

    init(_ model: OpenModel) {
        name = model.name
        tokenizer = model.tokenizer
        (format, formatFault) = model.chatFormat()
        stopTokens = model.stopTokens
        contextLength = model.configuration.maximumLength
        embedder = model.embedder
        generates = model.configuration.hasHead
    }

    /// Far above the bytes of text that one token stands for in any published vocabulary.
    private static let mostBytesOfToken = 512

    /// Most bytes of a prompt: a longer one has more tokens than the context has room for.
    private var mostBytes: Int {
        let (bytes, overflows) = contextLength.multipliedReportingOverflow(by: Self.mostBytesOfToken)
        return overflows ? .max : bytes
    }

    /// The request for the assistant's next message.
    ///
    /// - Parameters:
    ///   - messages: The conversation so far.
    ///   - options: How it is drawn and when it ends.
    /// - Returns: The request.
    /// - Throws: ``ModelError`` of kind `prompt` or `options`, or `model` when there is no chat template.
    func chat(_ messages: [ChatMessage], _ options: AnswerOptions) throws(ModelError) -> PreparedRequest {
        guard let format else {
            throw ModelError(
                .model,
                formatFault.map { "the chat template of '\(name)' cannot be used: \($0)" }
                    ?? "'\(name)' has no chat template")
        }
        try check(bytes: messages.reduce(0) { $0 + $1.content.utf8.count })
        let text: String
        do throws(TemplateError) { text = try format.prompt(messages) } catch {
            throw ModelError(.prompt, "the chat template refuses these messages: \(error)")
        }
        let syntax = format.answers(withTools: false)
        var request = try request(tokens(of: text, addSpecialTokens: false), options)
        request.shownTokens = Set(syntax.marks.compactMap { tokenizer?.id(for: $0) })
        let start = format.reasoning?.start(after: text) ?? .text
        return PreparedRequest(request: request, parser: AnswerParser(syntax, start: start))
    }

    /// The request for what follows a text.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - options: How it is drawn and when it ends.
    /// - Returns: The request.
    /// - Throws: ``ModelError`` of kind `prompt` or `options`, or `model` when there is no tokenizer.
    func completion(of text: String, _ options: AnswerOptions) throws(ModelError) -> PreparedRequest {
        var request = try request(tokens(of: text), options)
        request.continuesText = true
        return PreparedRequest(request: request, parser: AnswerParser(AnswerSyntax(), start: .text))
    }

    /// The request for a text's embedding.
    ///
    /// - Parameter text: The text.
    /// - Returns: The request.
    /// - Throws: ``ModelError`` of kind `prompt`, or `model` when there is no tokenizer.
    func embedding(of text: String) throws(ModelError) -> GenerationRequest {
        try check(bytes: text.utf8.count)
        do throws(EmbeddingError) { return try embedder.request(text) } catch {
            if error == .noTokenizer { throw ModelError(.model, "'\(name)' has no tokenizer.json") }
            throw ModelError(.prompt, error.description)
        }
    }

    /// The vector of a text, from what the engine computed for its request.
    func vector(_ reading: [Float]) -> [Float] { embedder.vector(reading) }

    private func request(
        _ tokens: [Int32], _ options: AnswerOptions
    ) throws(ModelError) -> GenerationRequest {
        try options.check()
        guard generates else { throw ModelError(EngineError.cannotGenerate) }
        try check(tokens)
        return GenerationRequest(
            prompt: tokens, maximumTokens: options.maximumTokens ?? max(1, contextLength - tokens.count),
            sampling: options.sampling,
            stop: StopConditions(
                tokens: stopTokens, ignoresTokens: options.ignoresEnd, strings: options.stop))
    }

    private func tokens(of text: String, addSpecialTokens: Bool = true) throws(ModelError) -> [Int32] {
        guard let tokenizer else { throw ModelError(.model, "'\(name)' has no tokenizer.json") }
        try check(bytes: text.utf8.count)
        return tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
    }

    private func check(_ tokens: [Int32]) throws(ModelError) {
        guard !tokens.isEmpty else { throw ModelError(EngineError.emptyPrompt) }
        // Room for one token of the answer.
        guard tokens.count < contextLength else {
            throw ModelError(EngineError.promptTooLong(tokens: tokens.count, limit: contextLength - 1))
        }
    }

    private func check(bytes: Int) throws(ModelError) {
        guard bytes <= mostBytes else {
            throw ModelError(
                .prompt, "the prompt has \(bytes) bytes, too many for a context of \(contextLength) tokens")
        }
    }
}

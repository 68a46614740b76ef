import SCXEngine
import SCXText

extension Model {
    /// Begins a conversation; the model must have a chat template.
    ///
    /// - Parameter system: Instructions that the conversation begins with; nil for none.
    /// - Returns: A conversation whose computed tokens serve no other.
    public func conversation(system: String? = nil) -> Conversation {
        Conversation(self, system.map { [Message(role: .system, text: $0)] } ?? [])
    }

    /// Takes up a conversation that was held before.
    ///
    /// - Parameter messages: What was said, oldest first.
    /// - Returns: A conversation; its first answer computes all of the messages.
    public func conversation(_ messages: [Message]) -> Conversation { Conversation(self, messages) }

    /// Continues a raw text, which is put into no chat template.
    ///
    /// - Parameters:
    ///   - prompt: The text.
    ///   - options: How the answer is drawn and when it ends.
    /// - Returns: What follows the text, as it is computed.
    /// - Throws: ``ModelError`` of kind `prompt`, `options`, `busy`, `closed` or `cancelled`, or `model` when there is no
    ///   tokenizer. What happens later is thrown where the answer is read.
    public func complete(
        _ prompt: String, options: AnswerOptions = AnswerOptions()
    ) async throws(ModelError) -> Answer {
        let owner = newOwner()
        let prepared = try await prepare { prompts throws(ModelError) in
            try prompts.completion(of: prompt, options)
        }
        return try answer(prepared, owner) { [weak self] _ in self?.forget(owner) }.answer
    }

    /// Turns a text into a vector.
    ///
    /// The files of sentence-transformers in the model's directory say how: the prompt before the text, the pooling of
    /// the hidden states after the final norm, and what follows. Without them it is the mean, which is not normalised.
    ///
    /// - Parameter text: The text, to which the special tokens are added that the model wants around it.
    /// - Returns: A vector of the model's hidden size, `[hidden]`, or of as many channels as its last module gives.
    /// - Throws: ``ModelError`` of kind `prompt`, `worker`, `busy`, `closed` or `cancelled`, or `model` when there is no
    ///   tokenizer.
    public func embedding(of text: String) async throws(ModelError) -> [Float] {
        let owner = newOwner()
        let request = try await prepare { prompts throws(ModelError) in try prompts.embedding(of: text) }
        defer { forget(owner) }
        do {
            for try await event in try submit(request, owner) where event.finished != nil {
                return vector(event.reading)
            }
        } catch { throw ModelError(error) }
        throw .cancelled
    }

    /// Gives a request to the engine, and has its answer read.
    ///
    /// - Parameters:
    ///   - prepared: The request.
    ///   - owner: Whose it is.
    ///   - conclude: Called once when the answer has ended: with what was said, or nil when that failed.
    /// - Returns: The answer, and the task that takes it from the engine.
    /// - Throws: ``ModelError`` of kind `closed` or `busy`.
    func answer(
        _ prepared: PreparedRequest, _ owner: Owner,
        conclude: @escaping @Sendable (AnswerRun.Words?) async -> Void
    ) throws(ModelError) -> (answer: Answer, run: AnswerRun) {
        let events = try submit(prepared.request, owner)
        let (parts, continuation) = AsyncStream<AnswerPart>.makeStream()
        let run = AnswerRun(
            events, prepared.parser, promptTokens: prepared.request.prompt.count, parts: continuation,
            conclude: conclude)
        return (Answer(parts: parts, run: run), run)
    }
}

import SCXEngine
import SCXText

/// One message of a conversation.
public struct Message: Equatable, Sendable {
    /// Who says it.
    public enum Role: String, Sendable {
        /// Instructions for the model.
        case system
        /// The person or program that asks.
        case user
        /// The model.
        case assistant
    }

    /// Who says it.
    public var role: Role
    /// What is said.
    public var text: String

    /// Makes a message.
    ///
    /// - Parameters:
    ///   - role: Who says it.
    ///   - text: What is said.
    public init(role: Role, text: String) { (self.role, self.text) = (role, text) }
}

/// A conversation with a model: each answer continues what was said before, and computes only what is new.
///
/// One message is answered at a time. The engine keeps the tokens and caches of the conversation for ten minutes after its
/// last answer, so that the next continues there; later it computes them anew. They are overwritten or freed when the
/// conversation is closed or let go of. Texts are Swift strings, whose memory is freed but cannot be overwritten.
public actor Conversation {
    private enum Turn {
        case idle
        /// A message is put into tokens.
        case preparing
        case answering(AnswerRun)
    }

    /// The model that answers.
    public nonisolated let model: Model
    private nonisolated let owner: Owner
    private var said: [ChatMessage]
    private var turn = Turn.idle
    private var isClosed = false

    init(_ model: Model, _ messages: [Message]) {
        self.model = model
        owner = model.newOwner()
        said = messages.map { ChatMessage(role: $0.role.rawValue, content: $0.text) }
    }

    deinit { model.forget(owner) }

    /// What was said so far, oldest first, without the model's thoughts; the message that is being answered is the last.
    public var messages: [Message] {
        said.compactMap { message in
            Message.Role(rawValue: message.role).map { Message(role: $0, text: message.content) }
        }
    }

    /// Says something, and begins to answer it.
    ///
    /// Waits until the answer before it has ended; ``Answer/cancel()`` ends that at once. When the answer fails, the
    /// message is taken back, so that the conversation can go on without it.
    ///
    /// - Parameters:
    ///   - text: The user's message.
    ///   - options: How the answer is drawn and when it ends.
    /// - Returns: The answer, as it is computed.
    /// - Throws: ``ModelError`` of kind `prompt`, `options`, `busy`, `closed` or `cancelled`, or `model` when there is no
    ///   chat template. What happens later is thrown where the answer is read.
    public func ask(
        _ text: String, options: AnswerOptions = AnswerOptions()
    ) async throws(ModelError) -> Answer {
        while case .answering(let run) = turn { _ = await run.task.value }
        guard !isClosed else { throw .conversationClosed }
        guard case .idle = turn else {
            throw ModelError(.busy, "the conversation is at another message")
        }
        turn = .preparing
        said.append(ChatMessage(role: "user", content: text))
        do throws(ModelError) {
            let messages = said
            let prepared = try await model.prepare { prompts throws(ModelError) in
                try prompts.chat(messages, options)
            }
            guard !isClosed else { throw .conversationClosed }
            let (answer, run) = try model.answer(prepared, owner) { words in await self.conclude(words) }
            turn = .answering(run)
            return answer
        } catch {
            if !said.isEmpty { said.removeLast() }
            turn = .idle
            throw error
        }
    }

    /// Takes what was answered.
    private func conclude(_ words: AnswerRun.Words?) {
        turn = .idle
        guard !isClosed else { return }
        if let words {
            said.append(
                ChatMessage(
                    role: "assistant", content: words.text,
                    reasoning: words.thoughts.isEmpty ? nil : words.thoughts))
        } else {
            said.removeLast()
        }
    }

    /// Ends the answer that is being computed, forgets what was said, and has the engine forget it.
    ///
    /// Closing twice does nothing. What is asked afterwards is answered with an error of kind
    /// ``ModelError/Kind/closed``.
    public func close() async {
        isClosed = true
        if case .answering(let run) = turn {
            run.task.cancel()
            _ = await run.task.value
        }
        said = []
        model.forget(owner)
    }
}

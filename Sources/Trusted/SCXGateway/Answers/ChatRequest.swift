package import SCXEngine
package import SCXInference
package import SCXText

/// A request for answers, whichever interface it came by: the routes of OpenAI's and Anthropic's interfaces all make one.
package struct ChatRequest: Sendable {
    package var prompt: Prompt
    package var tools: [JSON] = []
    package var toolChoice = ToolChoice.auto
    package var allowsParallelCalls = true
    package var format = AnswerFormat.text
    package var sampling = SamplingParameters()
    /// The most tokens of an answer; nil for as many as the context has room for.
    package var maximumTokens: Int?
    /// Texts that end the answer and are not part of it.
    package var stop: [String] = []
    /// Whether the answer goes on after the model's end token.
    package var ignoresEnd = false
    /// Tokens that end the answer beside the model's own.
    package var stopTokens: Set<Int32> = []
    /// The fewest tokens that the answer has.
    package var minimumTokens = 0
    /// Whether the text or token that ends the answer is part of it.
    package var showsStop = false
    /// Whether special tokens are part of the answer's text.
    package var showsSpecialTokens = false
    /// Texts that the answer must not have, as tokens: the last token of one is not drawn after the others.
    package var badWords: [String] = []
    /// How many answers are wanted.
    package var count = 1
    /// Asks for the log-probability of each prompt token, with so many of the likeliest tokens in its place.
    package var promptAlternatives: Int?
    /// Lets conversations of one API key that give the same text share what they begin with.
    package var salt: String?
    /// Where the prompt of a conversation ends.
    package var ending = ChatFormat.Ending.answer
    /// What the model may quote, for chat templates that know documents.
    package var documents: [JSON]?
    /// Further variables of the chat template (`chat_template_kwargs`, `reasoning_effort` and their like).
    package var templateVariables: [JSON.Member] = []
    /// Whether the client wants to see what the model thinks before it answers.
    package var showsReasoning = true
    /// The name of the profile; nil for the server's default.
    package var profile: String?
    /// The name of the API key.
    package var key = ""
    /// Asks to keep what the worker sees of this request, under the id of its completion.
    package var viewID: String?

    package init(prompt: Prompt) { self.prompt = prompt }

    package enum Prompt: Sendable {
        /// Written with the model's chat template.
        case messages([ChatMessage])
        case text(String)
        case tokens([Int32])
    }

    package enum ToolChoice: Equatable, Sendable {
        case none, auto, required
        case function(String)
    }

    /// What the answer's text may be.
    package enum AnswerFormat: Equatable, Sendable {
        case text
        /// Any JSON object.
        case jsonObject
        /// What a JSON Schema allows.
        case jsonSchema(JSON)
        /// One of these texts.
        case choice([String])
        /// What a regular expression describes, from its beginning to its end.
        case expression(String)
    }
}

extension ChatRequest {
    /// Bytes of text that have to be prepared, about; those of schemas that are compiled count for more.
    var size: Int {
        var bytes = tools.reduce(0) { $0 + $1.roughSize }
        if toolChoice != .none && toolChoice != .auto || format != .text { bytes *= Self.schemaWeight }
        bytes += templateVariables.reduce(0) { $0 + $1.value.roughSize }
        bytes += (documents ?? []).reduce(0) { $0 + $1.roughSize }
        if case .jsonSchema(let schema) = format { bytes += Self.schemaWeight * schema.roughSize }
        switch prompt {
        case .tokens(let tokens): bytes += tokens.count
        case .text(let text): bytes += text.utf8.count
        case .messages(let messages):
            for message in messages {
                bytes += message.content.utf8.count + message.more.reduce(0) { $0 + $1.value.roughSize }
                bytes += message.toolCalls.reduce(16) { $0 + $1.arguments.utf8.count }
                bytes += message.pictures.reduce(0) { $0 + $1.utf8.count + Self.pictureWeight }
            }
        }
        return bytes
    }
}

extension ChatRequest {
    private static let schemaWeight = 8
    /// A small file may be a large picture: even one is work for the slower threads.
    private static let pictureWeight = WorkPool.quickBytes
}

extension JSON {
    /// Bytes of the value's text, about.
    var roughSize: Int {
        var bytes = 0
        var pending = [self]
        while let value = pending.popLast() {
            bytes += 4
            switch value {
            case .string(let text): bytes += text.utf8.count
            case .array(let values): pending += values
            case .object(let members):
                for member in members {
                    bytes += member.name.utf8.count
                    pending.append(member.value)
                }
            default: break
            }
        }
        return bytes
    }
}

/// A piece of one of a request's answers, or its end.
package struct ChatEvent: Sendable {
    /// The number of the answer, counted from 0.
    package let choice: Int
    package let kind: Kind

    package init(choice: Int, _ kind: Kind) { (self.choice, self.kind) = (choice, kind) }

    package enum Kind: Sendable {
        /// The prompt's tokens from the second on, where they were asked for; comes first.
        case promptScores([SampledToken])
        /// A piece of what the model thinks, and tokens drawn since the last event.
        case reasoning(String, tokens: [SampledToken])
        /// Text that is certain now, which may be empty, and tokens drawn since the last event.
        case text(String, tokens: [SampledToken])
        case callBegan(index: Int, id: String, name: String)
        /// A piece of a call's arguments, as JSON text.
        case callArguments(index: Int, String)
        /// The last event of an answer.
        case finished(ChatFinish, ChatUsage)
    }
}

/// Why an answer ended.
package enum ChatFinish: Equatable, Sendable {
    /// At the model's end token.
    case end
    /// At a stop text of the request.
    case stopText(String)
    /// At its limit or the context's end.
    case length
    case toolCalls
}

/// What one answer cost.
package struct ChatUsage: Equatable, Sendable {
    package var promptTokens = 0
    package var answerTokens = 0
    /// How many of the answer's tokens are thoughts.
    package var reasoningTokens = 0
    /// How many of the prompt's tokens an earlier request had computed, so that they were not computed again.
    package var cachedTokens = 0
    package var exchanges = 0
    package var bytesSent = 0
    package var bytesReceived = 0
    /// Rows of this answer that went out under a one-time pad, at all sites together; 0 in profiles without.
    package var pads = 0

    package init() {}

    /// The costs as an object: `{"profile", "exchanges", "bytes_sent", "bytes_received", "pads"}`.
    package func costs(profile: String) -> JSON {
        [
            "profile": .string(profile), "exchanges": .int(exchanges), "bytes_sent": .int(bytesSent),
            "bytes_received": .int(bytesReceived), "pads": .int(pads),
        ]
    }

    /// What several answers to one prompt cost: the prompt counts once.
    package static func + (a: ChatUsage, b: ChatUsage) -> ChatUsage {
        var sum = a
        sum.promptTokens = max(a.promptTokens, b.promptTokens)
        sum.answerTokens += b.answerTokens
        sum.reasoningTokens += b.reasoningTokens
        sum.cachedTokens = max(a.cachedTokens, b.cachedTokens)
        sum.exchanges += b.exchanges
        sum.bytesSent += b.bytesSent
        sum.bytesReceived += b.bytesReceived
        sum.pads += b.pads
        return sum
    }
}

/// A request that the engine has admitted: the tokens of its prompt, and the events to come.
package struct RunningChat: Sendable {
    /// The prompt's tokens.
    package let prompt: [Int32]
    package let profile: String
    /// The events of all answers as they come; when the stream is no longer read, the request is cancelled.
    package let events: AsyncThrowingStream<ChatEvent, any Error>

    package init(prompt: [Int32], profile: String, events: AsyncThrowingStream<ChatEvent, any Error>) {
        (self.prompt, self.profile, self.events) = (prompt, profile, events)
    }
}

/// What answers requests; a protocol so that routes can be tested without a model.
package protocol Answering: Sendable {
    var model: ServedModel { get }

    /// Takes a request.
    ///
    /// - Throws: ``APIError`` for one that cannot be answered.
    func chat(_ request: ChatRequest) async throws(APIError) -> RunningChat

    /// What the engine reads of each input; `ServedModel.embedder` makes vectors of it.
    ///
    /// - Throws: ``APIError``.
    func embed(_ request: EmbeddingRequest) async throws(APIError) -> [TextReading]

    /// What the engine reads of the query with each document; `ServedModel.scorer` makes scores of it.
    ///
    /// - Throws: ``APIError``.
    func rerank(_ request: RerankRequest) async throws(APIError) -> [TextReading]
}

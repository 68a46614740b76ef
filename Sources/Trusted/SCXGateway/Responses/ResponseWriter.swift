import SCXEngine
import SCXInference
import SCXText

/// Writes the events of `/v1/responses`, and in the end the response that they add up to.
struct ResponseWriter: AnswerWriter {
    let id: String
    let createdAt: Int
    private let model: String
    private let profile: String
    private let echo: [JSON.Member]
    /// For the texts of tokens, when log-probabilities are wanted.
    private let tokenizer: Tokenizer?

    private enum Item {
        case reasoning
        case message
        case call(index: Int, id: String, name: String)
    }

    private enum Status: String {
        case inProgress = "in_progress"
        case completed, incomplete, failed
    }

    private var status = Status.inProgress
    private var sequence = 0
    /// Items that are complete.
    private var output: [JSON] = []
    /// The item that is being written, with its text or its arguments so far.
    private var open: Item?
    private var text = ""
    private var logprobs: [JSON] = []
    /// Of tokens whose text is not certain yet.
    private var pendingLogprobs: [JSON] = []
    private var error = JSON.null
    private var usage: ChatUsage?
    private(set) var hasBegun = false
    /// What the assistant said, as a conversation goes on with it.
    private(set) var conversation: Conversation

    init(
        id: String, createdAt: Int, model: ServedModel, profile: String, request: ResponsesRequest
    ) {
        (self.id, self.createdAt, self.model, self.profile) = (id, createdAt, request.modelName, profile)
        echo = request.echo
        tokenizer = request.wantsLogprobs ? model.tokenizer : nil
        conversation = request.conversation
    }

    var isFinished: Bool { status == .completed || status == .incomplete }

    // MARK: Events

    mutating func take(_ event: ChatEvent.Kind) -> [ServerSentEvent] {
        precondition(!isFinished, "ResponseWriter: an event after the end")
        var events: [ServerSentEvent] = []
        if !hasBegun {
            hasBegun = true
            for name in ["response.created", "response.in_progress"] {
                events.append(emit(name, [.init("response", response)]))
            }
        }
        switch event {
        case .promptScores: break
        case .reasoning(let delta, let tokens):
            if let tokenizer { pendingLogprobs += tokens.map { $0.json(tokenizer) } }
            if case .reasoning = open {} else { events += close() + begin(.reasoning) }
            text += delta
            events.append(emit("response.reasoning_text.delta", part + [.init("delta", .string(delta))]))
        case .text(let delta, let tokens): events += write(delta, tokens)
        case .callBegan(let index, let id, let name):
            events += close()
            events += begin(.call(index: index, id: id, name: name))
        case .callArguments(let index, let delta):
            guard case .call(index, _, _) = open else {
                preconditionFailure("ResponseWriter: arguments of a call that is not open")
            }
            text += delta
            events.append(
                emit("response.function_call_arguments.delta", place + [.init("delta", .string(delta))]))
        case .finished(let finish, let usage):
            let end = finish == .length ? Status.incomplete : .completed
            // Clients expect a message, even an empty one.
            if open == nil, output.isEmpty { events += begin(.message) }
            events += close(end)
            conversation.dropThoughts()
            (status, self.usage) = (end, usage)
            events.append(emit("response.\(end.rawValue)", [.init("response", response)]))
        }
        return events
    }

    mutating func fail(_ error: APIError) -> [ServerSentEvent] {
        status = .failed
        let code = error.status == 429 ? "rate_limit_exceeded" : "server_error"
        self.error = ["code": .string(code), "message": .string(error.message)]
        return [emit("response.failed", [.init("response", response)])]
    }

    private mutating func emit(_ name: String, _ members: [JSON.Member]) -> ServerSentEvent {
        defer { sequence += 1 }
        let own: [JSON.Member] = [.init("type", .string(name)), .init("sequence_number", .int(sequence))]
        return ServerSentEvent(name: name, data: JSON.object(own + members).text)
    }

    // MARK: Items

    private mutating func write(_ delta: String, _ tokens: [SampledToken]) -> [ServerSentEvent] {
        if let tokenizer { pendingLogprobs += tokens.map { $0.json(tokenizer) } }
        guard !delta.isEmpty else { return [] }
        var events: [ServerSentEvent] = []
        if case .message = open {} else { events += close() + begin(.message) }
        let members: [JSON.Member] = [
            .init("delta", .string(delta)), .init("logprobs", .array(pendingLogprobs)),
        ]
        text += delta
        logprobs += pendingLogprobs
        pendingLogprobs = []
        events.append(emit("response.output_text.delta", part + members))
        return events
    }

    private mutating func begin(_ item: Item) -> [ServerSentEvent] {
        open = item
        var events = [
            emit(
                "response.output_item.added",
                [.init("output_index", .int(output.count)), .init("item", json(item, .inProgress))])
        ]
        switch item {
        case .message: events.append(emit("response.content_part.added", part + [.init("part", textPart)]))
        case .reasoning:
            events.append(emit("response.content_part.added", part + [.init("part", reasoningPart)]))
        case .call: pendingLogprobs = []
        }
        return events
    }

    /// Ends the open item.
    private mutating func close(_ status: Status = .completed) -> [ServerSentEvent] {
        guard let item = open else { return [] }
        var events: [ServerSentEvent] = []
        switch item {
        case .reasoning:
            conversation.think(text)
            events.append(emit("response.reasoning_text.done", part + [.init("text", .string(text))]))
            events.append(emit("response.content_part.done", part + [.init("part", reasoningPart)]))
            pendingLogprobs = []
        case .message:
            if !text.isEmpty { conversation.say("assistant", text) }
            let members: [JSON.Member] = [
                .init("text", .string(text)), .init("logprobs", .array(logprobs)),
            ]
            events.append(emit("response.output_text.done", part + members))
            events.append(emit("response.content_part.done", part + [.init("part", textPart)]))
        case .call(_, let id, let name):
            conversation.call(ToolCall(id: id, name: name, arguments: text))
            let members: [JSON.Member] = [
                .init("name", .string(name)), .init("arguments", .string(text)),
            ]
            events.append(emit("response.function_call_arguments.done", place + members))
        }
        let done = json(item, status)
        events.append(
            emit(
                "response.output_item.done",
                [.init("output_index", .int(output.count)), .init("item", done)]))
        output.append(done)
        (open, text, logprobs, pendingLogprobs) = (nil, "", [], [])
        return events
    }

    /// The open item's name and place.
    private var place: [JSON.Member] {
        [.init("item_id", .string(itemID)), .init("output_index", .int(output.count))]
    }

    private var part: [JSON.Member] { place + [.init("content_index", 0)] }

    private var itemID: String {
        let prefix =
            switch open {
            case .call: "fc"
            case .reasoning: "rs"
            default: "msg"
            }
        return "\(prefix)_\(id.drop { $0 != "_" }.dropFirst())_\(output.count)"
    }

    private var textPart: JSON {
        [
            "type": "output_text", "text": .string(text), "annotations": [], "logprobs": .array(logprobs),
        ]
    }

    private var reasoningPart: JSON { ["type": "reasoning_text", "text": .string(text)] }

    private func json(_ item: Item, _ status: Status) -> JSON {
        switch item {
        case .reasoning:
            [
                "id": .string(itemID), "type": "reasoning", "status": .string(status.rawValue), "summary": [],
                "content": status == .inProgress ? [] : [reasoningPart],
            ]
        case .message:
            [
                "id": .string(itemID), "type": "message", "status": .string(status.rawValue),
                "role": "assistant", "content": status == .inProgress ? [] : [textPart],
            ]
        case .call(_, let id, let name):
            [
                "id": .string(itemID), "type": "function_call", "status": .string(status.rawValue),
                "call_id": .string(id), "name": .string(name), "arguments": .string(text),
            ]
        }
    }

    // MARK: The response

    /// The response as it is now.
    var response: JSON {
        let reason: JSON = status == .incomplete ? ["reason": "max_output_tokens"] : .null
        let members: [JSON.Member] = [
            .init("id", .string(id)), .init("object", "response"), .init("created_at", .int(createdAt)),
            .init("status", .string(status.rawValue)), .init("background", false), .init("error", error),
            .init("incomplete_details", reason), .init("model", .string(model)),
            .init("output", .array(output)), .init("usage", usage.map(Self.json) ?? .null),
        ]
        let costs: [JSON.Member] = usage.map { [.init("scx", $0.costs(profile: profile))] } ?? []
        return .object(members + echo + costs)
    }

    private static func json(_ usage: ChatUsage) -> JSON {
        [
            "input_tokens": .int(usage.promptTokens),
            "input_tokens_details": ["cached_tokens": .int(usage.cachedTokens), "cache_write_tokens": 0],
            "output_tokens": .int(usage.answerTokens),
            "output_tokens_details": ["reasoning_tokens": .int(usage.reasoningTokens)],
            "total_tokens": .int(usage.promptTokens + usage.answerTokens),
        ]
    }
}

extension SampledToken {
    /// The token with its likeliest alternatives.
    fileprivate func json(_ tokenizer: Tokenizer) -> JSON {
        func members(_ id: Int32, _ logprob: Float) -> [JSON.Member] {
            let text = tokenizer.decode([id], skipSpecialTokens: false)
            // JSON has no infinities.
            let logprob = Double(max(logprob, -9999))
            return [
                .init("token", .string(text)), .init("bytes", .array(text.utf8.map { .int(Int($0)) })),
                .init("logprob", .double(logprob)),
            ]
        }
        let top = top.map { JSON.object(members($0.id, $0.logprob)) }
        return .object(members(id, logprob) + [.init("top_logprobs", .array(top))])
    }
}

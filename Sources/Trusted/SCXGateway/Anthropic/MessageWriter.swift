import SCXInference

/// Writes the events of Anthropic's `/v1/messages`, and in the end the message that they add up to.
struct MessageWriter: AnswerWriter {
    private let id: String
    private let model: String
    private let profile: String
    private let promptTokens: Int

    private enum Block {
        case thinking
        case text
        case call(index: Int, id: String, name: String)
    }

    /// Blocks that are complete.
    private var content: [JSON] = []
    /// The block that is being written, with its text or its input so far.
    private var open: Block?
    private var text = ""
    private var finish: (reason: String, sequence: JSON)?
    private var usage: ChatUsage?
    private(set) var hasBegun = false

    init(id: String, model: String, running: RunningChat) {
        (self.id, self.model, profile, promptTokens) = (id, model, running.profile, running.prompt.count)
    }

    var isFinished: Bool { finish != nil }

    mutating func take(_ event: ChatEvent.Kind) -> [ServerSentEvent] {
        precondition(!isFinished, "MessageWriter: an event after the end")
        var events: [ServerSentEvent] = []
        if !hasBegun {
            hasBegun = true
            events.append(emit("message_start", [.init("message", message)]))
        }
        switch event {
        case .promptScores: break
        case .reasoning(let delta, _):
            if case .thinking = open {} else { events += close() + begin(.thinking) }
            text += delta
            events.append(emit(delta: ["type": "thinking_delta", "thinking": .string(delta)]))
        case .text(let delta, _):
            guard !delta.isEmpty else { break }
            if case .text = open {} else { events += close() + begin(.text) }
            text += delta
            events.append(emit(delta: ["type": "text_delta", "text": .string(delta)]))
        case .callBegan(let index, let id, let name):
            events += close() + begin(.call(index: index, id: id, name: name))
        case .callArguments(let index, let delta):
            guard case .call(index, _, _) = open else {
                preconditionFailure("MessageWriter: arguments of a call that is not open")
            }
            text += delta
            events.append(emit(delta: ["type": "input_json_delta", "partial_json": .string(delta)]))
        case .finished(let end, let usage):
            // Clients expect a block, even an empty one.
            if open == nil, content.isEmpty { events += begin(.text) }
            events += close()
            let (reason, sequence) = Self.reason(end)
            (finish, self.usage) = ((reason, sequence), usage)
            let delta: JSON = ["stop_reason": .string(reason), "stop_sequence": sequence]
            let members: [JSON.Member] = [
                .init("delta", delta), .init("usage", usageJSON),
                .init("scx", usage.costs(profile: profile)),
            ]
            events.append(emit("message_delta", members))
            events.append(emit("message_stop", []))
        }
        return events
    }

    mutating func fail(_ error: APIError) -> [ServerSentEvent] {
        [ServerSentEvent(name: "error", data: error.anthropicJSON.text)]
    }

    private static func reason(_ finish: ChatFinish) -> (String, JSON) {
        switch finish {
        case .end: ("end_turn", .null)
        case .stopText(let text): ("stop_sequence", .string(text))
        case .length: ("max_tokens", .null)
        case .toolCalls: ("tool_use", .null)
        }
    }

    private func emit(_ name: String, _ members: [JSON.Member]) -> ServerSentEvent {
        ServerSentEvent(name: name, data: JSON.object([.init("type", .string(name))] + members).text)
    }

    private func emit(delta: JSON) -> ServerSentEvent {
        emit("content_block_delta", [.init("index", .int(content.count)), .init("delta", delta)])
    }

    // MARK: Blocks

    private mutating func begin(_ block: Block) -> [ServerSentEvent] {
        (open, text) = (block, "")
        let members: [JSON.Member] = [
            .init("index", .int(content.count)), .init("content_block", json(block)),
        ]
        return [emit("content_block_start", members)]
    }

    private mutating func close() -> [ServerSentEvent] {
        guard let block = open else { return [] }
        defer { (open, text) = (nil, "") }
        var events: [ServerSentEvent] = []
        // Clients send the block back with its signature, which says nothing here.
        if case .thinking = block {
            events.append(emit(delta: ["type": "signature_delta", "signature": ""]))
        }
        events.append(emit("content_block_stop", [.init("index", .int(content.count))]))
        content.append(json(block))
        return events
    }

    private func json(_ block: Block) -> JSON {
        switch block {
        case .thinking: return ["type": "thinking", "thinking": .string(text), "signature": ""]
        case .text: return ["type": "text", "text": .string(text)]
        case .call(_, let id, let name):
            // Arguments that were cut short are no object, and this interface has no other place for them.
            let input = (try? JSON(parsing: text)).flatMap { $0.object == nil ? nil : $0 } ?? [:]
            return ["type": "tool_use", "id": .string(id), "name": .string(name), "input": input]
        }
    }

    // MARK: The message

    /// The message as it is now.
    var message: JSON {
        let members: [JSON.Member] = [
            .init("id", .string(id)), .init("type", "message"), .init("role", "assistant"),
            .init("content", .array(content)), .init("model", .string(model)),
            .init("stop_reason", finish.map { .string($0.reason) } ?? .null),
            .init("stop_sequence", finish?.sequence ?? .null), .init("usage", usageJSON),
        ]
        let costs: [JSON.Member] = usage.map { [.init("scx", $0.costs(profile: profile))] } ?? []
        return .object(members + costs)
    }

    /// Tokens that came from a cache are not among the input's here.
    private var usageJSON: JSON {
        let cached = usage?.cachedTokens ?? 0
        return [
            "input_tokens": .int((usage?.promptTokens ?? promptTokens) - cached),
            "output_tokens": .int(usage?.answerTokens ?? 0), "cache_read_input_tokens": .int(cached),
            "cache_creation_input_tokens": 0,
        ]
    }
}

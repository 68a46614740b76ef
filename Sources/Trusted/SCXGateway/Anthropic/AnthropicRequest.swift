import SCXInference
import SCXText

/// A request of `POST /v1/messages`, or of `/v1/messages/count_tokens`.
struct AnthropicRequest: Sendable {
    var chat: ChatRequest
    let messages: [ChatMessage]
    /// As the request has it.
    let modelName: String
    let isStreamed: Bool

    /// Reads a request.
    ///
    /// Fields that concern records, prices or speed alone (`metadata`, `service_tier`, `cache_control` and their like) are
    /// ignored with all fields that are not known, and so is the budget of `thinking`, since `max_tokens` bounds thoughts
    /// and answer together.
    ///
    /// - Throws: ``APIError`` that names the field at fault.
    init(_ request: APIRequest, model: ServedModel) throws(APIError) {
        let body = request.body
        let (name, profile) = try model.asked(by: request)
        try body.refuse(UnsupportedFields.ofMessages)
        try Self.refuseContextEdits(body)
        modelName = name
        var conversation = Conversation()
        guard let turns = try body.objects("messages"), !turns.isEmpty else {
            throw body.error("messages", "must have at least one message")
        }
        for turn in turns { try conversation.add(turn) }
        conversation.dropThoughts()
        guard let last = conversation.messages.last else {
            throw body.error("messages", "must have content")
        }
        guard last.toolCalls.isEmpty else {
            throw body.error("messages", "must end with the results of the assistant's calls")
        }
        messages = conversation.messages(after: try body.text("system", partsOf: ["text"]))
        chat = ChatRequest(prompt: .messages(messages))
        // Words of the assistant at the end are the beginning of the answer.
        if last.role == "assistant" { chat.ending = .inside }
        chat.templateVariables = try body.object("chat_template_kwargs")?.json.object ?? []
        let output = try body.object("output_config")
        if let output, output["task_budget"] != nil {
            throw output.error("task_budget", "is not supported: use 'max_tokens'")
        }
        chat.think(effort: try output?.effort("effort"), enabled: try body.thinks())
        if try body.object("thinking")?.string("display") == "omitted" { chat.showsReasoning = false }
        // The first name is the interface's, the second that of its preview.
        let preview = try body.object("output_format")
        if let format = try output?.object("format") ?? preview { chat.format = try Self.format(format) }

        let tools = try Self.tools(body)
        chat.tools = tools.map(\.chatJSON)
        if let choice = try body.object("tool_choice") {
            chat.toolChoice = try Self.toolChoice(choice)
            chat.allowsParallelCalls = try choice.bool("disable_parallel_tool_use") != true
        }
        try tools.check(chat.toolChoice, body)
        chat.stop = try body.stops("stop_sequences", most: 16)
        chat.sampling = try body.sampling()
        chat.maximumTokens = try body.tokenLimit("max_tokens")
        chat.profile = profile
        chat.key = request.key
        isStreamed = try body.bool("stream") ?? false
    }

    private static func tools(_ body: JSONFields) throws(APIError) -> [FunctionTool] {
        var tools: [FunctionTool] = []
        for fields in try body.objects("tools") ?? [] {
            let type = try fields.string("type") ?? "custom"
            guard type == "custom" else {
                throw fields.error(
                    "type", "must be custom: tools that the server itself runs are not supported")
            }
            try fields.refuse(unsupportedOfTools)
            tools.append(try FunctionTool(fields, schema: "input_schema", isSchemaOptional: false))
        }
        return tools
    }

    private static let unsupportedOfTools = [
        UnsupportedFields.Field(name: "allowed_callers", harmless: [["direct"]]),
        UnsupportedFields.Field(name: "defer_loading", harmless: [false]),
        UnsupportedFields.Field(
            name: "input_examples", harmless: [[]], reason: "is not supported: put them in the description"),
    ]

    /// What the answer's text may be.
    private static func format(_ fields: JSONFields) throws(APIError) -> ChatRequest.AnswerFormat {
        guard try fields.string("type") == "json_schema" else {
            throw fields.error("type", "must be json_schema")
        }
        return .jsonSchema(try fields.required("schema", fields.object("schema")).json)
    }

    /// Refuses to cut a conversation; what to do with thoughts in it is left to the model's template.
    private static func refuseContextEdits(_ body: JSONFields) throws(APIError) {
        for edit in try body.object("context_management")?.objects("edits") ?? [] {
            guard try edit.string("type")?.hasPrefix("clear_thinking") == true else {
                throw edit.error("type", "is not supported: conversations are never cut here")
            }
        }
    }

    private static func toolChoice(_ fields: JSONFields) throws(APIError) -> ChatRequest.ToolChoice {
        switch try fields.string("type") {
        case "auto": return .auto
        case "any": return .required
        case "none": return .none
        case "tool": return .function(try fields.required("name", fields.string("name")))
        default: throw fields.error("type", "must be auto, any, tool or none")
        }
    }
}

// MARK: Messages

extension Conversation {
    /// Adds a message with its blocks.
    fileprivate mutating func add(_ turn: JSONFields) throws(APIError) {
        var role = try turn.required("role", turn.string("role"))
        // Claude Code says so of what it adds to the user's words.
        if role == "ctx" || role == "msg" { role = "user" }
        guard ["user", "assistant", "system"].contains(role) else {
            throw turn.error("role", "must be user, assistant or system")
        }
        switch try turn.required("content", turn["content"]) {
        case .string(let text): say(role, text)
        case .array:
            for block in try turn.objects("content") ?? [] { try add(block, of: role) }
        default: throw turn.error("content", "must be a string or a list of blocks")
        }
    }

    private mutating func add(_ block: JSONFields, of role: String) throws(APIError) {
        switch (try block.required("type", block.string("type")), role) {
        case ("text", _): say(role, try block.text(partOf: ["text"]))
        case ("tool_use", "assistant"):
            call(
                ToolCall(
                    id: try block.required("id", block.string("id")),
                    name: try block.required("name", block.string("name")),
                    arguments: try block.required("input", block.object("input")).json.text))
        case ("tool_result", "user"):
            let id = try block.required("tool_use_id", block.string("tool_use_id"))
            guard give(try block.text("content", partsOf: ["text"]) ?? "", to: id) else {
                throw block.error("tool_use_id", "is of no tool_use before it")
            }
        case ("thinking", "assistant"): think(try block.required("thinking", block.string("thinking")))
        case ("redacted_thinking", "assistant"): break
        case (_, "user"):
            throw block.error("type", "must be text or tool_result: only text is supported here")
        default: throw block.error("type", "must be text or tool_use: only text is supported here")
        }
    }
}

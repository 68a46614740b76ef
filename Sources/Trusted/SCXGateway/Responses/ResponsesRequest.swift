import SCXEngine
import SCXInference
import SCXText

/// A request of `POST /v1/responses`.
struct ResponsesRequest: Sendable {
    let chat: ChatRequest
    let modelName: String
    /// What the next request continues: without the instructions, which are each request's own.
    let conversation: Conversation
    let isStreamed: Bool
    let isStored: Bool
    let wantsLogprobs: Bool
    /// Members of the reply that repeat the request.
    let echo: [JSON.Member]

    /// Reads a request.
    ///
    /// - Parameters:
    ///   - request: Its fields; those that are not known are ignored.
    ///   - previous: The conversation of `previous_response_id`.
    ///   - model: What answers.
    /// - Throws: ``APIError`` that names the field at fault.
    init(_ request: APIRequest, continuing previous: Conversation?, model: ServedModel) throws(APIError) {
        let body = request.body
        for name in ["conversation", "prompt"] where body[name] != nil {
            throw body.error(name, "is not supported: nothing is kept here but responses")
        }
        if try body.bool("background") == true { throw body.error("background", "is not supported") }
        try body.refuse(UnsupportedFields.ofResponses)
        let truncation = try body.string("truncation") ?? "disabled"
        guard ["disabled", "auto"].contains(truncation) else {
            throw body.error("truncation", "must be disabled or auto")
        }

        let (name, profile) = try model.asked(by: request)
        var conversation = previous ?? Conversation()
        try conversation.add(inputOf: body)
        let instructions = try body.string("instructions")
        var chat = ChatRequest(prompt: .messages(conversation.messages(after: instructions)))
        let reasoning = try body.object("reasoning")
        chat.think(effort: try reasoning?.effort("effort"), enabled: nil)

        let tools = try Self.tools(body)
        chat.tools = tools.map(\.chatJSON)
        chat.toolChoice = try Self.toolChoice(body)
        try tools.check(chat.toolChoice, body)
        chat.allowsParallelCalls = try body.bool("parallel_tool_calls") ?? true
        let text = try body.object("text")
        if let text, try text.string("verbosity") ?? "medium" != "medium" {
            throw text.error("verbosity", "is not supported: say it in the instructions")
        }
        let format = try text?.object("format")
        chat.format = try Self.format(format)
        if chat.format == .text, let structure = try body.structure() { chat.format = structure }
        try chat.readSampling(body, model.configuration.vocabularySize)
        chat.maximumTokens = try body.tokenLimit("max_output_tokens")
        try chat.checkLimits(body)
        let top = try body.int("top_logprobs", 0...SamplingParameters.mostTopLogprobs)
        chat.sampling.topLogprobs = top ?? 0
        let includes = try body.strings("include") ?? []
        wantsLogprobs = top != nil || includes.contains("message.output_text.logprobs")
        chat.salt = try body.salt()
        chat.profile = profile
        chat.key = request.key

        self.chat = chat
        modelName = name
        self.conversation = conversation
        isStreamed = try body.bool("stream") ?? false
        isStored = try body.bool("store") ?? true
        echo = [
            .init("instructions", instructions.map { .string($0) } ?? .null),
            .init("max_output_tokens", chat.maximumTokens.map { .int($0) } ?? .null),
            .init("metadata", try Self.metadata(body)),
            .init("parallel_tool_calls", .bool(chat.allowsParallelCalls)),
            .init("previous_response_id", body["previous_response_id"] ?? .null),
            .init("prompt_cache_key", body["prompt_cache_key"] ?? .null),
            .init("reasoning", ["effort": reasoning?["effort"] ?? .null, "summary": .null]),
            .init("store", .bool(isStored)),
            .init("temperature", body["temperature"] ?? 1.0),
            .init("text", ["format": format?.json ?? ["type": "text"]]),
            .init("tool_choice", body["tool_choice"] ?? "auto"),
            .init("tools", .array(tools.map(\.flatJSON))),
            .init("top_logprobs", .int(top ?? 0)),
            .init("top_p", body["top_p"] ?? 1.0),
            .init("truncation", .string(truncation)),
            .init("user", try body.string("user").map { .string($0) } ?? .null),
        ]
    }

    private static func tools(_ body: JSONFields) throws(APIError) -> [FunctionTool] {
        var tools: [FunctionTool] = []
        for fields in try body.objects("tools") ?? [] {
            guard try fields.string("type") == "function" else {
                throw fields.error(
                    "type", "must be function: tools that the server itself runs are not supported")
            }
            tools.append(try FunctionTool(fields, schema: "parameters", isSchemaOptional: true))
        }
        return tools
    }

    private static func toolChoice(_ body: JSONFields) throws(APIError) -> ChatRequest.ToolChoice {
        switch body["tool_choice"] {
        case nil, .string("auto"): return .auto
        case .string("none"): return .none
        case .string("required"): return .required
        case .object:
            let fields = try body.object("tool_choice")
            if let fields, try fields.string("type") == "function" {
                return .function(try fields.required("name", fields.string("name")))
            }
        default: break
        }
        throw body.error("tool_choice", "must be none, auto, required or a function with its name")
    }

    private static func format(_ fields: JSONFields?) throws(APIError) -> ChatRequest.AnswerFormat {
        guard let fields else { return .text }
        switch try fields.string("type") {
        case "text": return .text
        case "json_object": return .jsonObject
        case "json_schema":
            _ = try fields.required("name", fields.string("name"))
            return .jsonSchema(try fields.required("schema", fields.object("schema")).json)
        default: throw fields.error("type", "must be text, json_object or json_schema")
        }
    }

    /// At most 16 texts, which the reply repeats.
    private static func metadata(_ body: JSONFields) throws(APIError) -> JSON {
        guard let metadata = try body.object("metadata") else { return [:] }
        let members = metadata.json.object ?? []
        let areTexts = members.allSatisfy { member in
            member.name.count <= 64 && (member.value.string?.count ?? .max) <= 512
        }
        guard members.count <= 16, areTexts else {
            throw body.error(
                "metadata", "has at most 16 strings of 512 characters, with names of at most 64")
        }
        return metadata.json
    }
}

extension FunctionTool {
    /// The function as this interface has it.
    fileprivate var flatJSON: JSON {
        [
            "type": "function", "name": .string(name),
            "description": description.map { .string($0) } ?? .null, "parameters": parameters,
            "strict": false,
        ]
    }
}

// MARK: Input

extension Conversation {
    /// Adds the messages, calls and results of `input`.
    ///
    /// - Throws: ``APIError`` that names the item at fault.
    fileprivate mutating func add(inputOf body: JSONFields) throws(APIError) {
        switch try body.required("input", body["input"]) {
        case .string(let text): say("user", text)
        case .array:
            for item in try body.objects("input") ?? [] { try add(item) }
            dropThoughts()
        default: throw body.error("input", "must be a string or a list of items")
        }
        guard !messages.isEmpty else { throw body.error("input", "must not be empty") }
    }

    private mutating func add(_ item: JSONFields) throws(APIError) {
        switch try item.string("type") ?? "message" {
        case "message":
            let role = try item.required("role", item.string("role"))
            guard ["user", "assistant", "system", "developer"].contains(role) else {
                throw item.error("role", "must be user, assistant, system or developer")
            }
            let text = try item.text("content", partsOf: ["input_text", "output_text"])
            say(role == "developer" ? "system" : role, try item.required("content", text))
        case "function_call":
            call(
                ToolCall(
                    id: try item.required("call_id", item.string("call_id")),
                    name: try item.required("name", item.string("name")),
                    arguments: try item.required("arguments", item.string("arguments"))))
        case "function_call_output":
            let id = try item.required("call_id", item.string("call_id"))
            let text = try item.text("output", partsOf: ["input_text"])
            guard give(try item.required("output", text), to: id) else {
                throw item.error("call_id", "is of no function_call before it")
            }
        case "reasoning":
            // Clients send it back with the rest of an answer, as content or as a summary.
            let content = try item.text("content", partsOf: ["reasoning_text", "text"])
            let summary = try item.text("summary", partsOf: ["summary_text"])
            think(content ?? summary ?? "")
        default:
            throw item.error(
                "type", "must be message, function_call or function_call_output: no other item is supported")
        }
    }
}

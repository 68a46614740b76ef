import SCXEngine
import SCXInference
import SCXText

/// `POST /v1/chat/completions`.
package enum ChatCompletions {
    /// Answers a conversation.
    ///
    /// - Throws: ``APIError`` that names the field at fault, or says why there is no answer.
    package static func reply(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let common = try OpenAIRequest(request, answering.model)
        var (chat, showsLogprobs) = try read(request, common)
        let id = newName("chatcmpl-")
        if try request.body.bool("scx_view") == true { chat.viewID = id }
        let running = try await answering.chat(chat)
        let writer = ChatCompletionWriter(
            head: ReplyHead(id: id, model: common.model, profile: running.profile),
            tokens: showsLogprobs ? TokenTexts(answering.model.tokenizer) : nil, count: chat.count,
            includesUsage: common.includesUsage)
        guard !common.isStreamed else {
            return .events(
                writer.stream([running]), headers: [.profile(running.profile)])
        }
        let answers = try await running.answers(chat.count)
        let usage = answers.dropFirst().reduce(answers[0].usage) { $0 + $1.usage }
        return .json(
            writer.whole(answers, usage), headers: usage.costHeaders(profile: running.profile))
    }

    // MARK: Reading

    private static let mostTools = 128

    private static func read(
        _ request: APIRequest, _ common: OpenAIRequest
    ) throws(APIError) -> (chat: ChatRequest, showsLogprobs: Bool) {
        let body = request.body
        for old in ["functions", "function_call"] where body[old] != nil {
            throw body.error(old, "is not supported any more: use 'tools' and 'tool_choice'")
        }
        try body.refuse(UnsupportedFields.ofChat)
        var chat = ChatRequest(prompt: .messages(try messages(body)))
        try common.fill(&chat, from: request)
        let oldLimit = try body.tokenLimit("max_tokens")
        chat.maximumTokens = try body.tokenLimit("max_completion_tokens") ?? oldLimit
        try chat.checkLimits(body)
        chat.tools = try tools(body)
        chat.toolChoice = try toolChoice(body, chat.tools)
        chat.allowsParallelCalls = try body.bool("parallel_tool_calls") ?? true
        chat.documents = try body.objects("documents")?.map(\.json)
        chat.ending = try ending(body)
        chat.templateVariables = try body.object("chat_template_kwargs")?.json.object ?? []
        chat.think(effort: try body.effort("reasoning_effort"), enabled: try body.thinks())
        chat.showsReasoning = try body.bool("include_reasoning") ?? true
        let showsLogprobs = try body.bool("logprobs") ?? false
        if let top = try body.int("top_logprobs", 0...SamplingParameters.mostTopLogprobs) {
            guard showsLogprobs || top == 0 else {
                throw body.error("top_logprobs", "is allowed only with 'logprobs'")
            }
            chat.sampling.topLogprobs = top
        }
        return (chat, showsLogprobs)
    }

    /// The conversation of a request.
    static func messages(_ body: JSONFields) throws(APIError) -> [ChatMessage] {
        guard let values = try body.array("messages"), !values.isEmpty else {
            throw body.error("messages", "must be a list of at least one message")
        }
        var messages: [ChatMessage] = []
        for (index, value) in values.enumerated() {
            do {
                messages.append(try ChatMessage(parsing: value))
            } catch {
                let member = error.member.isEmpty ? "" : ".\(error.member)"
                throw body.error("messages[\(index)]\(member)", "is wrong: \(error.reason)")
            }
        }
        return messages
    }

    /// Where the prompt of a conversation ends: with `add_generation_prompt` and `continue_final_message` as in vLLM.
    ///
    /// An assistant's text as the last message is the beginning of the answer, unless one of the fields says otherwise.
    ///
    /// - Throws: ``APIError`` for fields that do not go together.
    static func ending(_ body: JSONFields) throws(APIError) -> ChatFormat.Ending {
        let begins = try body.bool("add_generation_prompt")
        let continues = try body.bool("continue_final_message")
        let last = try body.objects("messages")?.last
        let isText =
            last?["role"]?.string == "assistant" && last?["tool_calls"]?.array?.isEmpty != false
            && last?["content"]?.isNull == false
        if continues == true {
            guard begins != true else {
                throw body.error("continue_final_message", "cannot be true beside 'add_generation_prompt'")
            }
            guard isText else {
                throw body.error("continue_final_message", "needs an assistant's text as the last message")
            }
            return .inside
        }
        if begins == false { return .message }
        return isText && begins == nil && continues == nil ? .inside : .answer
    }

    private static func tools(_ body: JSONFields) throws(APIError) -> [JSON] {
        let tools = try body.objects("tools") ?? []
        guard tools.count <= mostTools else { throw body.error("tools", "must be at most \(mostTools)") }
        for tool in tools {
            guard try tool.string("type") == "function" else {
                throw tool.error("type", "must be 'function'")
            }
            guard let function = try tool.object("function") else {
                throw tool.error("function", "must be an object")
            }
            guard let name = try function.string("name"), FunctionTool.isName(name, most: 64) else {
                throw function.error("name", "must be 1 to 64 letters, digits, '_', '-' or '.'")
            }
            _ = try function.string("description")
            _ = try function.object("parameters")
        }
        return tools.map(\.json)
    }

    private static func toolChoice(
        _ body: JSONFields, _ tools: [JSON]
    ) throws(APIError) -> ChatRequest.ToolChoice {
        guard let value = body["tool_choice"] else { return .auto }
        switch value.string {
        case "none": return .none
        case "auto": return .auto
        case "required":
            guard !tools.isEmpty else { throw body.error("tool_choice", "is allowed only with 'tools'") }
            return .required
        default: break
        }
        guard value.object != nil, let choice = try body.object("tool_choice"),
            try choice.string("type") == "function"
        else {
            throw body.error(
                "tool_choice", "must be 'none', 'auto', 'required' or an object that names a function")
        }
        guard let function = try choice.object("function"), let name = try function.string("name") else {
            throw choice.error("function.name", "must be a string")
        }
        guard tools.contains(where: { $0["function"]?["name"]?.string == name }) else {
            throw function.error("name", "must be the name of one of the 'tools'")
        }
        return .function(name)
    }

    /// What an answer's text may be.
    ///
    /// - Throws: ``APIError`` that names the field at fault.
    static func format(_ body: JSONFields) throws(APIError) -> ChatRequest.AnswerFormat {
        let structure = try body.structure()
        guard let format = try body.object("response_format") else { return structure ?? .text }
        switch try format.string("type") {
        case "text": return structure ?? .text
        case "json_object": return try format.object("schema").map { .jsonSchema($0.json) } ?? .jsonObject
        case "json_schema":
            // Some clients write the schema without its name.
            if format["json_schema"] == nil, let schema = try format.object("schema") {
                return .jsonSchema(schema.json)
            }
            guard let named = try format.object("json_schema") else {
                throw format.error("json_schema", "must be an object")
            }
            guard let name = try named.string("name"), !name.isEmpty else {
                throw named.error("name", "must be a string that is not empty")
            }
            _ = try named.bool("strict")
            guard let schema = try named.object("schema") else {
                throw named.error("schema", "must be an object")
            }
            return .jsonSchema(schema.json)
        default: throw format.error("type", "must be 'text', 'json_object' or 'json_schema'")
        }
    }
}

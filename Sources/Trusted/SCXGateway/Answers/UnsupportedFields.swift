import SCXInference

/// Fields of OpenAI's, vLLM's and Anthropic's interfaces that would change the answer, and that nothing here honours.
///
/// Leaving one out in silence would give another answer than was asked for, so each is refused by name, except with a
/// value that asks for what happens anyway. Fields that only concern the operator's records, prices or speed are
/// ignored, and so are those that no interface knows.
enum UnsupportedFields {
    /// A field, and what of it may be there.
    struct Field: Sendable {
        let name: String
        /// Values that change nothing.
        var harmless: [JSON] = []
        /// What the field's message ends with.
        var reason = "is not supported"
    }

    /// Of all kinds of requests.
    private static let common = [
        Field(name: "ec_transfer_params"),
        Field(name: "kv_transfer_params"),
        Field(name: "logits_processors", harmless: [[]]),
        Field(name: "logprob_token_ids", harmless: [[]]),
        Field(name: "repetition_detection"),
        Field(name: "return_token_ids", harmless: [false]),
        Field(name: "return_tokens_as_token_ids", harmless: [false]),
        Field(name: "truncate_prompt_tokens", reason: "is not supported: prompts are never cut"),
        Field(name: "use_beam_search", harmless: [false]),
        Field(name: "vllm_xargs", harmless: [[:]]),
        Field(name: "watermarking", harmless: [false]),
        // Answers held to something that is no JSON Schema.
        Field(name: "guided_grammar", reason: "is not supported: use 'response_format' or 'guided_regex'"),
        Field(name: "guided_whitespace_pattern"),
        Field(name: "structural_tag", reason: "is not supported: use 'response_format'"),
    ]

    /// Of conversations.
    private static let conversations = [
        Field(name: "audio", reason: "is not supported: only text is answered"),
        Field(name: "modalities", harmless: [["text"]], reason: "must be ['text']: only text is answered"),
        Field(name: "verbosity", harmless: ["medium"], reason: "is not supported: say it in the messages"),
        Field(name: "web_search_options", reason: "is not supported: nothing is looked up"),
        Field(name: "chat_template", reason: "is not supported: the model's own is used"),
        Field(name: "echo", harmless: [false]),
        Field(name: "add_special_tokens", harmless: [false]),
        Field(name: "mm_processor_kwargs", harmless: [[:]]),
        Field(name: "media_io_kwargs", harmless: [[:]]),
        Field(name: "prompt_logprobs", reason: "is not supported here: '/v1/completions' has it as 'echo'"),
        Field(name: "return_prompt_text", harmless: [false]),
        Field(name: "thinking_token_budget", harmless: [-1]),
    ]

    /// Of text completions.
    private static let completions = [
        Field(name: "add_special_tokens", harmless: [true]),
        Field(name: "prompt_embeds", reason: "is not supported: give a text or token ids"),
        Field(name: "prompt_logprobs", reason: "is not supported: use 'echo' with 'logprobs'"),
    ]

    /// Of `/v1/responses`.
    private static let responses = [
        Field(name: "context_management", harmless: [[]]),
        Field(name: "enable_response_messages", harmless: [false]),
        Field(name: "previous_input_messages", harmless: [[]]),
        Field(name: "previous_response", reason: "is not supported: use 'previous_response_id' or 'input'"),
        Field(name: "mm_processor_kwargs", harmless: [[:]]),
    ]

    /// Of `/v1/embeddings`.
    static let ofEmbeddings = [
        Field(name: "add_special_tokens", harmless: [true]),
        Field(name: "embed_dtype", harmless: ["float32"], reason: "must be 'float32'"),
        Field(name: "endianness", harmless: ["little", "native"], reason: "must be 'little'"),
        Field(name: "messages", reason: "is not supported: give texts or token ids as 'input'"),
        Field(name: "mm_processor_kwargs", harmless: [[:]]),
        Field(name: "use_activation", harmless: [false], reason: "is not supported: use 'normalize'"),
    ]

    /// Of `/rerank`.
    static let ofReranking = [
        Field(name: "max_chunks_per_doc", harmless: [1], reason: "is not supported: a text is one chunk"),
        Field(name: "mm_processor_kwargs", harmless: [[:]]),
        Field(name: "rank_fields", reason: "is not supported: give texts"),
        Field(name: "use_activation", harmless: [true], reason: "is not supported: scores are the model's"),
    ]

    /// Of `/v1/messages`.
    static let ofMessages = [
        Field(name: "container", reason: "is not supported: nothing is run here"),
        Field(name: "mcp_servers", harmless: [[]], reason: "is not supported: nothing is looked up"),
        Field(name: "kv_transfer_params"),
    ]

    static let ofChat = common + conversations
    static let ofCompletions = common + completions
    static let ofResponses = common + responses
}

extension JSONFields {
    /// Refuses fields that would change the answer and are not honoured.
    ///
    /// - Throws: ``APIError`` that names the first of them.
    func refuse(_ fields: [UnsupportedFields.Field]) throws(APIError) {
        for field in fields {
            guard let value = self[field.name], !field.harmless.contains(value) else { continue }
            throw error(field.name, field.reason)
        }
    }

    /// Tokens that end the answer beside the model's own.
    ///
    /// - Throws: ``APIError`` for what is no list of tokens.
    func stopTokens(_ vocabulary: Int) throws(APIError) -> Set<Int32> {
        let name = "stop_token_ids"
        guard let value = self[name], value.array?.isEmpty != true else { return [] }
        guard value.array?.count ?? 0 <= Self.mostStopTokens else {
            throw error(name, "must be at most \(Self.mostStopTokens) token ids")
        }
        return Set(try tokens(name, value, vocabulary))
    }

    private static var mostStopTokens: Int { 1024 }
    private static var mostChoices: Int { 512 }
    private static var mostExpressionBytes: Int { 4096 }

    /// What an answer's text may be, by vLLM's names: `structured_outputs`, and the older `guided_json`, `guided_choice`
    /// and `guided_regex`.
    ///
    /// - Throws: ``APIError`` for a form that answers cannot be held to.
    func structure() throws(APIError) -> ChatRequest.AnswerFormat? {
        if let schema = try schema("guided_json") { return .jsonSchema(schema) }
        if let choices = try choices("guided_choice") { return .choice(choices) }
        if let expression = try expression("guided_regex") { return .expression(expression) }
        guard let outputs = try object("structured_outputs") else { return nil }
        for name in ["grammar", "structural_tag"] where outputs[name] != nil {
            throw outputs.error(name, "is not supported: use 'json', 'choice' or 'regex'")
        }
        for name in ["disable_any_whitespace", "disable_additional_properties"] {
            guard try outputs.bool(name) != true else { throw outputs.error(name, "is not supported") }
        }
        guard outputs["whitespace_pattern"] == nil else {
            throw outputs.error("whitespace_pattern", "is not supported")
        }
        let names = ["json", "choice", "regex"]
        guard names.count(where: { outputs[$0] != nil }) <= 1 else {
            throw error("structured_outputs", "must have one of \(names.joined(separator: ", "))")
        }
        if let schema = try outputs.schema("json") { return .jsonSchema(schema) }
        if let choices = try outputs.choices("choice") { return .choice(choices) }
        if let expression = try outputs.expression("regex") { return .expression(expression) }
        return try outputs.bool("json_object") == true ? .jsonObject : nil
    }

    private func expression(_ name: String) throws(APIError) -> String? {
        guard let expression = try string(name) else { return nil }
        guard (1...Self.mostExpressionBytes).contains(expression.utf8.count) else {
            throw error(name, "must have 1 to \(Self.mostExpressionBytes) bytes")
        }
        return expression
    }

    /// A schema as an object, or as a text that is one.
    private func schema(_ name: String) throws(APIError) -> JSON? {
        guard let value = self[name] else { return nil }
        if value.object != nil { return value }
        guard let text = value.string, let json = try? JSON(parsing: text), json.object != nil else {
            throw error(name, "must be a JSON Schema")
        }
        return json
    }

    private func choices(_ name: String) throws(APIError) -> [String]? {
        guard let choices = try array(name) else { return nil }
        let texts = choices.compactMap(\.string)
        guard texts.count == choices.count, (1...Self.mostChoices).contains(texts.count) else {
            throw error(name, "must be 1 to \(Self.mostChoices) texts")
        }
        return texts
    }
}

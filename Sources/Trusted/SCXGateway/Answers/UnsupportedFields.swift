import SCXInference

/// Fields of OpenAI's and vLLM's interfaces that would change the answer, and that nothing here honours.
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
        Field(name: "allowed_token_ids", reason: "is not supported: use 'logit_bias'"),
        Field(name: "bad_words", harmless: [[]], reason: "is not supported: use 'logit_bias'"),
        Field(name: "ec_transfer_params"),
        Field(name: "include_stop_str_in_output", harmless: [false]),
        Field(name: "kv_transfer_params"),
        Field(name: "logits_processors", harmless: [[]]),
        Field(name: "logprob_token_ids", harmless: [[]]),
        Field(name: "min_tokens", harmless: [0]),
        Field(name: "repetition_detection"),
        Field(name: "return_token_ids", harmless: [false]),
        Field(name: "return_tokens_as_token_ids", harmless: [false]),
        Field(name: "skip_special_tokens", harmless: [true]),
        Field(name: "truncate_prompt_tokens", reason: "is not supported: prompts are never cut"),
        Field(name: "use_beam_search", harmless: [false]),
        Field(name: "vllm_xargs", harmless: [[:]]),
        Field(name: "watermarking", harmless: [false]),
        // Answers held to something that is no JSON Schema.
        Field(name: "guided_grammar", reason: "is not supported: use 'response_format'"),
        Field(name: "guided_regex", reason: "is not supported: use 'response_format' with a 'pattern'"),
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
        Field(name: "thinking_token_budget"),
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
        Field(name: "mm_processor_kwargs", harmless: [[:]]),
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

    /// What an answer's text may be, by vLLM's names: `structured_outputs`, and the older `guided_json` and
    /// `guided_choice`.
    ///
    /// - Throws: ``APIError`` for a form that answers cannot be held to.
    func structure() throws(APIError) -> ChatRequest.AnswerFormat? {
        if let schema = try schema("guided_json") { return .jsonSchema(schema) }
        if let choices = try choices("guided_choice") { return .choice(choices) }
        guard let outputs = try object("structured_outputs") else { return nil }
        for name in ["regex", "grammar", "structural_tag"] where outputs[name] != nil {
            throw outputs.error(name, "is not supported: use 'json' or 'choice'")
        }
        if let schema = try outputs.schema("json") { return .jsonSchema(schema) }
        if let choices = try outputs.choices("choice") { return .choice(choices) }
        return try outputs.bool("json_object") == true ? .jsonObject : nil
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

import SCXInference
import SCXText

/// `POST /tokenize` and `/detokenize`, as vLLM has them.
package enum Tokenization {
    /// The tokens of a text or a conversation.
    ///
    /// - Throws: ``APIError`` that names the field at fault.
    package static func tokenize(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        _ = try model.asked(by: request)
        let size = request.body.json.roughSize
        return try await model.work.run(bytes: size, key: request.key) { () throws(APIError) -> APIReply in
            try tokenize(request.body, model)
        }
    }

    private static func tokenize(_ body: JSONFields, _ model: ServedModel) throws(APIError) -> APIReply {
        let tokenizer = try model.requireTokenizer()
        let addsSpecial = try body.bool("add_special_tokens")
        let tokens: [Int32]
        if let prompt = try body.string("prompt") {
            tokens = tokenizer.encode(prompt, addSpecialTokens: addsSpecial ?? true)
        } else if body["messages"] != nil {
            // The template writes the special tokens itself.
            tokens = tokenizer.encode(
                try conversation(body, model), addSpecialTokens: addsSpecial ?? false)
        } else {
            throw body.error("prompt", "is missing, and so is 'messages'")
        }
        var reply: [JSON.Member] = [
            .init("count", .int(tokens.count)), .init("max_model_len", .int(model.contextLength)),
            .init("tokens", .array(tokens.map { .int(Int($0)) })),
        ]
        let spelt = try body.bool("return_token_strs") ?? false
        let spellings = spelt ? JSON.array(tokens.map { .string(tokenizer.token(for: $0) ?? "") }) : .null
        reply.append(.init("token_strs", spellings))
        return .written(.object(reply))
    }

    private static func conversation(
        _ body: JSONFields, _ model: ServedModel
    ) throws(APIError) -> String {
        let format = try model.requireChatFormat()
        let messages = try ChatCompletions.messages(body)
        guard messages.allSatisfy(\.pictures.isEmpty) else {
            throw body.error("messages", "have pictures, whose tokens are counted with an answer alone")
        }
        let ending = try ChatCompletions.ending(body)
        let tools = try body.objects("tools")?.map(\.json)
        let more = try body.object("chat_template_kwargs")?.json.object ?? []
        do {
            return try format.prompt(messages, ending: ending, tools: tools, more: more)
        } catch {
            throw body.error("messages", "do not fit the model's chat template")
        }
    }

    /// The text of tokens.
    ///
    /// - Throws: ``APIError`` that names the field at fault.
    package static func detokenize(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        _ = try model.asked(by: request)
        let size = request.body.json.roughSize
        return try await model.work.run(bytes: size, key: request.key) { () throws(APIError) -> APIReply in
            let body = request.body
            let tokenizer = try model.requireTokenizer()
            let given = try body.array("tokens")
            let tokens =
                given == [] ? [] : try body.tokens("tokens", body["tokens"], tokenizer.vocabularySize)
            return .written(["prompt": .string(tokenizer.decode(tokens, skipSpecialTokens: false))])
        }
    }
}

extension APIReply {
    /// JSON as text, for what is long: so that no thread that carries connections has to write it.
    static func written(_ json: JSON) -> APIReply {
        .bytes(Array(json.text.utf8), type: "application/json")
    }
}

import SCXInference
import SCXText

/// Anthropic's Messages interface.
package enum AnthropicRoutes {
    /// `POST /v1/messages`.
    ///
    /// - Throws: ``APIError`` for a request that cannot be answered; its body is `anthropicJSON`.
    package static func messages(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let asked = try AnthropicRequest(request, model: answering.model)
        guard asked.chat.maximumTokens != nil else { throw request.body.error("max_tokens", "is missing") }
        let running = try await answering.chat(asked.chat)
        var writer = MessageWriter(
            id: newName("msg_"), model: asked.modelName, running: running)
        if asked.isStreamed {
            return .events(writer.events(of: running), headers: [.profile(running.profile)])
        }
        try await writer.readAll(running)
        return .json(writer.message, headers: [.profile(running.profile)])
    }

    /// `POST /v1/messages/count_tokens`.
    ///
    /// - Throws: ``APIError`` for a request that `messages` would not take either.
    package static func countTokens(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        let asked = try AnthropicRequest(request, model: model)
        let chat = asked.chat
        let size = chat.size
        let count = try await model.work.run(bytes: size, key: request.key) { () throws(APIError) -> Int in
            let (format, tokenizer) = (try model.requireChatFormat(), try model.requireTokenizer())
            let text: String
            do {
                text = try format.prompt(
                    asked.messages, ending: chat.ending, tools: chat.tools, more: chat.templateVariables)
            } catch {
                // What a template raises may quote the messages.
                throw APIError.invalid(
                    "The model's chat template does not take these messages.", param: "messages")
            }
            return tokenizer.encode(text, addSpecialTokens: false).count
        }
        return .json(["input_tokens": .int(count)])
    }
}

import SCXInference

/// What chat and text completions ask for in the same way.
struct OpenAIRequest: Sendable {
    /// The model's name as the client wrote it, for the reply.
    let model: String
    let profile: String
    let isStreamed: Bool
    let includesUsage: Bool
    private let vocabulary: Int

    static let mostChoices = 16

    init(_ request: APIRequest, _ served: ServedModel) throws(APIError) {
        (model, profile) = try served.asked(by: request)
        let body = request.body
        isStreamed = try body.bool("stream") ?? false
        let options = try body.object("stream_options")
        guard isStreamed || options == nil else {
            throw body.error("stream_options", "is allowed only with 'stream'")
        }
        includesUsage = try options?.bool("include_usage") ?? false
        if let options, try options.bool("continuous_usage_stats") == true {
            throw options.error("continuous_usage_stats", "is not supported: the last event has the usage")
        }
        vocabulary = served.configuration.vocabularySize
    }

    /// Sets the fields of a chat request that both kinds have.
    ///
    /// - Throws: ``APIError`` that names the field at fault.
    func fill(_ chat: inout ChatRequest, from request: APIRequest) throws(APIError) {
        let body = request.body
        try chat.readSampling(body, vocabulary)
        chat.count = try body.int("n", 1...Self.mostChoices) ?? 1
        guard try body.int("best_of", 1...Int.max) ?? chat.count == chat.count else {
            throw body.error("best_of", "must be equal to 'n': all answers are given")
        }
        chat.format = try ChatCompletions.format(body)
        chat.salt = try body.salt()
        // Read so that a wrong one is told; it is for the client's own records.
        _ = try body.string("user")
        (chat.profile, chat.key) = (profile, request.key)
    }
}

extension ChatUsage {
    /// The `usage` of OpenAI's interface.
    var openAI: JSON {
        var members: [JSON.Member] = [
            .init("prompt_tokens", .int(promptTokens)), .init("completion_tokens", .int(answerTokens)),
            .init("total_tokens", .int(promptTokens + answerTokens)),
            .init("prompt_tokens_details", ["cached_tokens": .int(cachedTokens)]),
        ]
        if reasoningTokens > 0 {
            members.append(
                .init("completion_tokens_details", ["reasoning_tokens": .int(reasoningTokens)]))
        }
        return .object(members)
    }

    /// What the answer cost, as headers.
    func costHeaders(profile: String) -> [APIHeader] {
        [
            APIHeader.profile(profile), APIHeader("x-scx-exchanges", "\(exchanges)"),
            APIHeader("x-scx-bytes-sent", "\(bytesSent)"),
            APIHeader("x-scx-bytes-received", "\(bytesReceived)"), APIHeader("x-scx-pads", "\(pads)"),
        ]
    }

    /// What answers to different prompts cost.
    static func sum(_ usages: [ChatUsage]) -> ChatUsage {
        var sum = usages.reduce(ChatUsage(), +)
        sum.promptTokens = usages.reduce(0) { $0 + $1.promptTokens }
        sum.cachedTokens = usages.reduce(0) { $0 + $1.cachedTokens }
        return sum
    }
}

extension ChatFinish {
    /// The `finish_reason` of OpenAI's interface.
    var openAI: JSON {
        switch self {
        case .end, .stopText: "stop"
        case .length: "length"
        case .toolCalls: "tool_calls"
        }
    }
}

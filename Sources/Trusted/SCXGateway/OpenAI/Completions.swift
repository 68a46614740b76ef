import SCXEngine
import SCXInference

/// `POST /v1/completions`.
package enum Completions {
    private static let defaultLimit = 16
    private static let mostChoices = 256

    /// Continues texts.
    ///
    /// - Throws: ``APIError`` that names the field at fault, or says why there is no answer.
    package static func reply(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        let common = try OpenAIRequest(request, model)
        let body = request.body
        try body.refuse(UnsupportedFields.ofCompletions)
        let prompts = try body.prompts("prompt", vocabulary: model.configuration.vocabularySize)
        let echoes = try body.bool("echo") ?? false
        let logprobs = try body.int("logprobs", 0...SamplingParameters.mostTopLogprobs)

        var chat = ChatRequest(prompt: prompts[0])
        try common.fill(&chat, from: request)
        chat.maximumTokens = try body.tokenLimit("max_tokens", least: echoes ? 0 : 1) ?? defaultLimit
        try chat.checkLimits(body)
        chat.sampling.topLogprobs = logprobs ?? 0
        chat.promptAlternatives = echoes ? logprobs : nil
        guard prompts.count * chat.count <= mostChoices else {
            throw body.error("prompt", "must be fewer: at most \(mostChoices) answers, 'n' for each prompt")
        }
        guard try (body.string("suffix") ?? "").isEmpty else {
            throw body.error("suffix", "is not supported")
        }

        // All are asked for before the first is read, so that they are computed together.
        var runs: [RunningChat] = []
        for prompt in prompts {
            chat.prompt = prompt
            runs.append(try await answering.chat(chat))
        }
        let profile = runs[0].profile
        var writer = CompletionWriter(
            head: ReplyHead(id: newName("cmpl-"), model: common.model, profile: profile),
            choicesPerPrompt: chat.count, includesUsage: common.includesUsage,
            prompts: zip(prompts, runs).map { prompt, run in
                CompletionWriter.PromptEcho(prompt, run.prompt, model.tokenizer)
            },
            echoes: echoes, tokens: logprobs.map { _ in TokenTexts(model.tokenizer) },
            tokenizer: model.tokenizer)
        guard !common.isStreamed else {
            return .events(writer.stream(runs), headers: [.profile(profile)])
        }
        var answers: [[WholeAnswer]] = []
        for run in runs { answers.append(try await run.answers(chat.count)) }
        let usage = ChatUsage.sum(
            answers.map { $0.dropFirst().reduce($0[0].usage) { $0 + $1.usage } })
        return .json(writer.whole(answers, usage), headers: usage.costHeaders(profile: profile))
    }
}

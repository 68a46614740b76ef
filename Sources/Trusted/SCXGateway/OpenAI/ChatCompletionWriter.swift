import SCXEngine
import SCXInference
import SCXText

/// Writes answers as `chat.completion` objects.
struct ChatCompletionWriter: ChunkWriter {
    let head: ReplyHead
    /// Nil when probabilities were not asked for.
    let tokens: TokenTexts?
    let count: Int
    let includesUsage: Bool
    private var begun: Set<Int> = []
    private var usages: [ChatUsage] = []

    init(head: ReplyHead, tokens: TokenTexts?, count: Int, includesUsage: Bool) {
        (self.head, self.tokens) = (head, tokens)
        (self.count, self.includesUsage) = (count, includesUsage)
    }

    var isComplete: Bool { usages.count == count }

    // MARK: Whole

    func whole(_ answers: [WholeAnswer], _ usage: ChatUsage) -> JSON {
        let choices = answers.enumerated().map { index, answer -> JSON in
            let hasNoText = answer.text.isEmpty && !answer.calls.isEmpty
            var message: [JSON.Member] = [
                .init("role", "assistant"), .init("content", hasNoText ? .null : .string(answer.text)),
                .init("refusal", .null),
            ]
            if !answer.reasoning.isEmpty {
                message.append(.init("reasoning_content", .string(answer.reasoning)))
            }
            if !answer.calls.isEmpty {
                let calls = answer.calls.map { call -> JSON in
                    [
                        "id": .string(call.id), "type": "function",
                        "function": ["name": .string(call.name), "arguments": .string(call.arguments)],
                    ]
                }
                message.append(.init("tool_calls", .array(calls)))
            }
            return [
                "index": .int(index), "message": .object(message), "logprobs": logprobs(answer.tokens),
                "finish_reason": answer.finish?.openAI ?? .null,
            ]
        }
        return .object(
            head.members("chat.completion") + [
                .init("choices", .array(choices)), .init("usage", usage.openAI),
                .init("scx", usage.costs(profile: head.profile)),
            ])
    }

    private func logprobs(_ drawn: [SampledToken]) -> JSON {
        guard let tokens else { return .null }
        func entry(_ id: Int32, _ logprob: Float) -> [JSON.Member] {
            let bytes = tokens.bytes(id).map { JSON.array($0.map { .int(Int($0)) }) }
            return [
                .init("token", .string(tokens.text(id))), .init("logprob", .double(finite(logprob))),
                .init("bytes", bytes ?? .null),
            ]
        }
        let content = drawn.map { token -> JSON in
            let top = token.top.map { JSON.object(entry($0.id, $0.logprob)) }
            return .object(entry(token.id, token.logprob) + [.init("top_logprobs", .array(top))])
        }
        return ["content": .array(content), "refusal": .null]
    }

    // MARK: Streamed

    mutating func take(_ event: ChatEvent, prompt: Int) -> [JSON] {
        let index = event.choice
        var chunks: [JSON] = []
        if begun.insert(index).inserted {
            chunks.append(chunk(index, ["role": "assistant", "content": "", "refusal": .null]))
        }
        switch event.kind {
        case .promptScores: break
        case .reasoning(let text, let drawn):
            chunks.append(chunk(index, ["reasoning_content": .string(text)], logprobs: logprobs(drawn)))
        case .text(let text, let drawn):
            guard !text.isEmpty || (tokens != nil && !drawn.isEmpty) else { break }
            chunks.append(chunk(index, ["content": .string(text)], logprobs: logprobs(drawn)))
        case .callBegan(let call, let id, let name):
            chunks.append(
                chunk(
                    index, call: call,
                    [
                        .init("id", .string(id)), .init("type", "function"),
                        .init("function", ["name": .string(name), "arguments": ""]),
                    ]))
        case .callArguments(let call, let piece):
            chunks.append(chunk(index, call: call, [.init("function", ["arguments": .string(piece)])]))
        case .finished(let finish, let usage):
            usages.append(usage)
            let total = usages.dropFirst().reduce(usages[0], +)
            let isLast = isComplete && !includesUsage
            chunks.append(chunk(index, [:], finish: finish.openAI, costs: isLast ? total : nil))
            if isComplete, includesUsage { chunks.append(object([], usage: total.openAI, costs: total)) }
        }
        return chunks
    }

    private func chunk(_ index: Int, call: Int, _ members: [JSON.Member]) -> JSON {
        chunk(index, ["tool_calls": [.object([.init("index", .int(call))] + members)]])
    }

    private func chunk(
        _ index: Int, _ delta: JSON, logprobs: JSON = .null, finish: JSON = .null, costs: ChatUsage? = nil
    ) -> JSON {
        let choice: JSON = [
            "index": .int(index), "delta": delta, "logprobs": logprobs, "finish_reason": finish,
        ]
        return object([choice], usage: .null, costs: costs)
    }

    private func object(_ choices: [JSON], usage: JSON, costs: ChatUsage?) -> JSON {
        var members = head.members("chat.completion.chunk")
        members.append(.init("choices", .array(choices)))
        if includesUsage { members.append(.init("usage", usage)) }
        if let costs { members.append(.init("scx", costs.costs(profile: head.profile))) }
        return .object(members)
    }
}

import SCXEngine
import SCXInference
import SCXText

/// Writes answers as `text_completion` objects.
///
/// Choices are numbered through: all of the first prompt, then those of the second.
struct CompletionWriter: ChunkWriter {
    /// A prompt as replies repeat it.
    struct PromptEcho: Sendable {
        let text: String
        let tokens: [Int32]

        init(_ prompt: ChatRequest.Prompt, _ tokens: [Int32], _ tokenizer: Tokenizer?) {
            text = if case .text(let text) = prompt { text } else { tokenizer?.decode(tokens) ?? "" }
            self.tokens = tokens
        }
    }

    /// What is known of a choice before its next event.
    private struct Choice: Sendable {
        var hasBegun = false
        var offsets: TextOffsets
        var usage: ChatUsage?
    }

    let head: ReplyHead
    let choicesPerPrompt: Int
    let includesUsage: Bool
    let prompts: [PromptEcho]
    let echoes: Bool
    /// Nil when probabilities were not asked for.
    let tokens: TokenTexts?
    private var choices: [Choice]
    /// Of each prompt, once they came.
    private var scores: [[SampledToken]]

    init(
        head: ReplyHead, choicesPerPrompt: Int, includesUsage: Bool, prompts: [PromptEcho], echoes: Bool,
        tokens: TokenTexts?, tokenizer: Tokenizer?
    ) {
        (self.head, self.choicesPerPrompt, self.includesUsage) = (head, choicesPerPrompt, includesUsage)
        (self.prompts, self.echoes, self.tokens) = (prompts, echoes, tokens)
        choices = prompts.flatMap { prompt in
            Array(
                repeating: Choice(offsets: TextOffsets(tokenizer, after: echoes ? [] : prompt.tokens)),
                count: choicesPerPrompt)
        }
        scores = Array(repeating: [], count: prompts.count)
    }

    var isComplete: Bool { choices.allSatisfy { $0.usage != nil } }

    // MARK: Whole

    mutating func whole(_ answers: [[WholeAnswer]], _ usage: ChatUsage) -> JSON {
        var list: [JSON] = []
        for (prompt, ofPrompt) in answers.enumerated() {
            scores[prompt] = ofPrompt.first { !$0.promptScores.isEmpty }?.promptScores ?? []
            for answer in ofPrompt {
                let entries = (echoes ? echoed(prompt) : []) + answer.tokens.map { ($0.id, $0) }
                list.append(
                    choice(
                        list.count, (echoes ? prompts[prompt].text : "") + answer.text, entries,
                        finish: answer.finish?.openAI ?? .null))
            }
        }
        return .object(
            head.members("text_completion") + [
                .init("choices", .array(list)), .init("usage", usage.openAI),
                .init("scx", usage.costs(profile: head.profile)),
            ])
    }

    /// The prompt's tokens; nothing precedes the first, so it has no probability.
    private func echoed(_ prompt: Int) -> [(Int32, SampledToken?)] {
        prompts[prompt].tokens.enumerated().map { place, id in
            (id, place > 0 && place <= scores[prompt].count ? scores[prompt][place - 1] : nil)
        }
    }

    private mutating func choice(
        _ index: Int, _ text: String, _ entries: [(Int32, SampledToken?)], finish: JSON = .null
    ) -> JSON {
        [
            "index": .int(index), "text": .string(text), "logprobs": logprobs(entries, of: index),
            "finish_reason": finish,
        ]
    }

    private mutating func logprobs(_ entries: [(id: Int32, score: SampledToken?)], of index: Int) -> JSON {
        guard let tokens else { return .null }
        var offsets: [JSON] = []
        for entry in entries { offsets.append(.int(choices[index].offsets.next(entry.id))) }
        return [
            "text_offset": .array(offsets),
            "token_logprobs": .array(
                entries.map { $0.score.map { .double(finite($0.logprob)) } ?? .null }),
            "tokens": .array(entries.map { .string(tokens.name($0.id)) }),
            "top_logprobs": .array(entries.map { $0.score.map { top($0, tokens) } ?? .null }),
        ]
    }

    /// The likeliest tokens with their probabilities, and the one that was drawn.
    private func top(_ score: SampledToken, _ tokens: TokenTexts) -> JSON {
        var members = [JSON.Member(tokens.name(score.id), .double(finite(score.logprob)))]
        for other in score.top where other.id != score.id {
            let name = tokens.name(other.id)
            // Two tokens may be spelt alike; the likelier one came first.
            guard !members.contains(where: { $0.name == name }) else { continue }
            members.append(.init(name, .double(finite(other.logprob))))
        }
        return .object(members)
    }

    // MARK: Streamed

    mutating func take(_ event: ChatEvent, prompt: Int) -> [JSON] {
        let index = prompt * choicesPerPrompt + event.choice
        if case .promptScores(let new) = event.kind { scores[prompt] = new }
        var chunks: [JSON] = []
        if echoes, !choices[index].hasBegun {
            chunks.append(object([choice(index, prompts[prompt].text, echoed(prompt))]))
        }
        choices[index].hasBegun = true
        switch event.kind {
        case .promptScores, .callBegan, .callArguments: break
        case .reasoning(let text, let drawn), .text(let text, let drawn):
            guard !text.isEmpty || (tokens != nil && !drawn.isEmpty) else { break }
            chunks.append(object([choice(index, text, drawn.map { ($0.id, $0) })]))
        case .finished(let finish, let usage):
            choices[index].usage = usage
            let last = choice(index, "", [], finish: finish.openAI)
            let total = isComplete ? total : nil
            chunks.append(object([last], costs: includesUsage ? nil : total))
            if includesUsage, let total {
                chunks.append(object([], usage: total.openAI, costs: total))
            }
        }
        return chunks
    }

    private var total: ChatUsage {
        let usages = choices.map { $0.usage ?? ChatUsage() }
        return .sum(
            prompts.indices.map { prompt in
                let own = usages[(prompt * choicesPerPrompt)...].prefix(choicesPerPrompt)
                return own.dropFirst().reduce(own[own.startIndex], +)
            })
    }

    private func object(_ choices: [JSON], usage: JSON = .null, costs: ChatUsage? = nil) -> JSON {
        var members = head.members("text_completion")
        members.append(.init("choices", .array(choices)))
        if includesUsage { members.append(.init("usage", usage)) }
        if let costs { members.append(.init("scx", costs.costs(profile: head.profile))) }
        return .object(members)
    }
}

/// Where the texts of tokens begin, in Unicode scalars.
struct TextOffsets: Sendable {
    private var decoder: Tokenizer.StreamDecoder?
    private var offset = 0

    /// Offsets from the end of a prompt on.
    init(_ tokenizer: Tokenizer?, after prompt: [Int32]) {
        decoder = tokenizer.map { Tokenizer.StreamDecoder($0) }
        // The first token of a text may lose a space; one in the middle never does.
        if let last = prompt.last { _ = decoder?.push(last) }
    }

    /// The place of this token's text.
    mutating func next(_ token: Int32) -> Int {
        defer { offset += decoder?.push(token).unicodeScalars.count ?? 0 }
        return offset
    }
}

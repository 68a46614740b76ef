package import SCXInference

/// How a model's conversations are written: its templates and the texts of its special tokens.
package struct ChatFormat: Sendable {
    package let template: ChatTemplate
    /// For conversations with tools, when the model has a template of its own for them.
    package let toolTemplate: ChatTemplate?
    /// `bos_token` and its like, with their texts.
    package let specialTokens: [JSON.Member]
    /// How the model is asked to write calls of functions.
    package let toolCallFormat: ToolCallFormat
    /// The template itself writes tools, calls and results; otherwise `prompt` puts them into texts.
    package let templateKnowsTools: Bool
    /// How the model sets its thoughts apart; nil when its template knows none.
    package let reasoning: ReasoningFormat?
    /// In which forms the template takes content.
    let content: ContentForms

    /// A format of these templates.
    ///
    /// - Parameters:
    ///   - template: For conversations.
    ///   - toolTemplate: For those with tools, when that is another.
    ///   - specialTokens: `bos_token` and its like, with their texts.
    package init(template: ChatTemplate, toolTemplate: ChatTemplate? = nil, specialTokens: [JSON.Member] = [])
    {
        self.template = template
        self.toolTemplate = toolTemplate
        self.specialTokens = specialTokens
        let known = ToolCallFormat.detect(template: (toolTemplate ?? template).source)
        toolCallFormat = known ?? .hermes
        templateKnowsTools = known != nil
        reasoning = ReasoningFormat.detect(template: template.source)
        content = ContentForms(of: template, specialTokens)
    }

    /// How answers are read.
    ///
    /// - Parameter withTools: The model was told of tools.
    /// - Returns: The syntax that its template teaches.
    package func answers(withTools: Bool) -> AnswerSyntax {
        AnswerSyntax(
            reasoning: reasoning, calls: withTools ? toolCallFormat : nil,
            wrappers: Self.wrappers.first { $0.taught.allSatisfy { template.source.contains($0) } }?.marks
                ?? [])
    }

    /// Marks that some models put around their answers, and what shows them in a template.
    private static let wrappers: [(taught: [String], marks: [String])] = [
        (["<|START_RESPONSE|>"], ["<|START_RESPONSE|>", "<|END_RESPONSE|>"]),
        (["<response></response>"], ["<response>", "</response>"]),
        (
            ["<|open|>", "<|sep|>"],
            [
                "<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>",
                "<|end_of_msg|>",
            ]
        ),
        (["<|tool_call:begin|>", "<|content|>"], ["<|begin|>assistant", "<|content|>", "<|end|>"]),
    ]

    /// How a prompt ends.
    package enum Ending: Equatable, Sendable {
        /// Where the assistant's answer begins.
        case answer
        /// After the last message.
        case message
        /// Inside the last message, the assistant's, which the model goes on with.
        case inside
    }

    /// The text of a conversation.
    ///
    /// Any model can be asked with tools: where the template does not write tools, or refuses calls or results, they
    /// become texts that it accepts.
    ///
    /// - Parameters:
    ///   - messages: The conversation so far.
    ///   - ending: Where the text ends.
    ///   - tools: Functions that the model may call, as in OpenAI's interface.
    ///   - documents: What the model may quote.
    ///   - more: Further variables, such as `enable_thinking`.
    ///   - clock: Gives the date to templates that ask for it.
    /// - Returns: The text, special tokens included.
    /// - Throws: A fault of the template, or one that it raises about the messages.
    package func prompt(
        _ messages: [ChatMessage], ending: Ending = .answer, tools: [JSON]? = nil, documents: [JSON]? = nil,
        more: [JSON.Member] = [], clock: @escaping () -> TemplateDate = TemplateDate.now
    ) throws(TemplateError) -> String {
        let tools = tools?.isEmpty == true ? nil : tools
        guard content.takesParts || messages.allSatisfy(\.pictures.isEmpty) else {
            throw TemplateError(template: template.name, line: 0, reason: "it does not write pictures")
        }
        let messages = ending == .inside ? try Self.marked(messages, template.name) : messages
        var failure: TemplateError?
        var incomplete: String?
        for attempt in attempts(messages, tools: tools) {
            let template = attempt.usesToolTemplate ? toolTemplate ?? template : template
            let own: [JSON.Member] = [
                .init("messages", .array(attempt.messages.map { $0.json(attempt.form) })),
                .init("tools", attempt.tools.map { .array($0) } ?? .null),
                .init("documents", documents.map { .array($0) } ?? .null),
                .init("add_generation_prompt", .bool(ending == .answer)),
            ]
            do {
                var text = try template.render(specialTokens + own + more, clock: clock)
                if ending == .inside { text = try Self.cut(text, template.name) }
                // A template may drop a system message, tools or calls without a word.
                if attempt.isWhole(text) { return text }
                incomplete = incomplete ?? text
            } catch { failure = failure ?? error }
        }
        if let incomplete { return incomplete }
        throw failure ?? TemplateError(template: template.name, line: 0, reason: "nothing to render")
    }
}

// MARK: Going on with a message

extension ChatFormat {
    /// Stands at the end of a message that is to be continued; the same as in transformers, as some templates know it.
    private static let endMark = "CONTINUE_FINAL_MESSAGE_TAG "

    /// The messages with a mark at the end of the last one.
    private static func marked(
        _ messages: [ChatMessage], _ template: String
    ) throws(TemplateError) -> [ChatMessage] {
        guard var last = messages.last, last.role == "assistant", last.toolCalls.isEmpty else {
            throw TemplateError(
                template: template, line: 0,
                reason: "only a text of the assistant, as the last message, can be continued")
        }
        var parts = last.parts
        if case .text(let text)? = parts?.popLast() { parts?.append(.text(text + endMark)) }
        last.content += endMark
        last.isContentNull = false
        last.parts = parts
        return messages.dropLast() + [last]
    }

    /// The text up to the mark; white space that the template drops there is dropped in the message too.
    private static func cut(_ text: String, _ template: String) throws(TemplateError) -> String {
        let mark = endMark.strippedPython(nil)
        guard let place = text.places(of: mark).last else {
            throw TemplateError(template: template, line: 0, reason: "it does not write the last message")
        }
        let end = text.bytes(place..<text.utf8.count)
        let before = text.bytes(0..<place)
        return end.hasPrefix(endMark) ? before : before.strippedPython(nil, left: false)
    }
}

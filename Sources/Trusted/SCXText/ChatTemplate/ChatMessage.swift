package import SCXInference

/// One message of a conversation.
package struct ChatMessage: Equatable, Sendable {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    package var role: String
    /// Empty when there is none; parts are joined by line ends.
    package var content: String { didSet { parts = nil } }
    /// The texts of which the content was sent as a list; nil for one text.
    package var parts: [String]?
    /// Templates read null rather than an empty text: an assistant that only called functions.
    package var isContentNull: Bool
    /// What the assistant called.
    package var toolCalls: [ToolCall]
    /// Of a tool's message: the call that it answers.
    package var toolCallID: String?
    /// Of the speaker, or of the tool.
    package var name: String?
    /// What the assistant thought before it said this.
    package var reasoning: String?
    /// Further members that a template may read; they replace those above.
    package var more: [JSON.Member]

    package init(
        role: String, content: String?, toolCalls: [ToolCall] = [], toolCallID: String? = nil,
        name: String? = nil, reasoning: String? = nil, more: [JSON.Member] = []
    ) {
        self.role = role
        self.content = content ?? ""
        isContentNull = content == nil
        self.toolCalls = toolCalls
        self.toolCallID = toolCallID
        self.name = name
        self.reasoning = reasoning
        self.more = more
    }

    /// A message whose content is these texts.
    package init(role: String, parts: [String]) {
        self.init(role: role, content: parts.joined(separator: "\n"))
        self.parts = parts
    }

    /// The message as most templates read it, content as one text.
    package var json: JSON { json(MessageForm()) }

    /// Whether only a template that knows tools can write it.
    var needsTools: Bool { role == "tool" || !toolCalls.isEmpty }
}

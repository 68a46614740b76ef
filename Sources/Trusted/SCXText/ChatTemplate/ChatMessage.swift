package import SCXInference

/// One message of a conversation.
package struct ChatMessage: Equatable, Sendable {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    package var role: String
    /// The text, empty when the message has none; content that came as a list of parts is joined by line ends.
    package var content: String { didSet { parts = nil } }
    /// The texts of the content's parts, when it was sent as a list; nil when it was sent as one text.
    package var parts: [String]?
    /// Whether templates get null as the content and not an empty text, as for an assistant that only called functions.
    package var isContentNull: Bool
    /// The functions that the assistant called in this message.
    package var toolCalls: [ToolCall]
    /// The id of the call whose result this is, in a message of role `tool`.
    package var toolCallID: String?
    /// The name of the speaker, or of the function in a message of role `tool`.
    package var name: String?
    /// What the assistant thought before it said this.
    package var reasoning: String?
    /// Further members that a template may read; one with the name of a member above replaces it.
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

package import SCXInference

/// One message of a conversation.
package struct ChatMessage: Equatable, Sendable {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    package var role: String
    /// The text, empty when the message has none; texts that came as a list of parts are joined by line ends.
    ///
    /// Another text takes the place of all text parts, after the pictures.
    package var content: String {
        didSet {
            let pictures = pictures
            parts = pictures.isEmpty ? nil : pictures.map(Part.picture) + [.text(content)]
        }
    }
    /// The content's parts, when it was sent as a list; nil when it was sent as one text.
    package var parts: [Part]?
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

    /// A part of a message's content.
    package enum Part: Equatable, Sendable {
        case text(String)
        /// A picture, by the address that the client gave.
        case picture(address: String)
    }

    /// A message whose content is these parts.
    package init(role: String, parts: [Part]) {
        self.init(role: role, content: parts.text)
        self.parts = parts
    }

    /// A message whose content is these texts.
    package init(role: String, parts: [String]) { self.init(role: role, parts: parts.map(Part.text)) }

    /// The addresses of its pictures, in their order.
    package var pictures: [String] {
        (parts ?? []).compactMap { if case .picture(let address) = $0 { address } else { nil } }
    }

    /// The message as most templates read it, content as one text.
    package var json: JSON { json(MessageForm()) }

    /// Whether only a template that knows tools can write it.
    var needsTools: Bool { role == "tool" || !toolCalls.isEmpty }
}

extension [ChatMessage.Part] {
    /// The text parts.
    var texts: [String] { compactMap { if case .text(let text) = $0 { text } else { nil } } }

    /// The text parts as one text.
    var text: String { texts.joined(separator: "\n") }
}

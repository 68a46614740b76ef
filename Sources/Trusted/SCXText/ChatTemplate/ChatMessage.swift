package import SCXInference

/// One message of a conversation.
package struct ChatMessage: Equatable, Sendable {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    package var role: String
    /// Empty when there is none.
    package var content: String
    /// Templates read null rather than an empty text: an assistant that only called functions.
    package var isContentNull: Bool
    /// What the assistant called.
    package var toolCalls: [ToolCall]
    /// Of a tool's message: the call that it answers.
    package var toolCallID: String?
    /// Of the speaker, or of the tool.
    package var name: String?
    /// Further members that a template may read, such as `reasoning_content`; they replace those above.
    package var more: [JSON.Member]

    package init(
        role: String, content: String?, toolCalls: [ToolCall] = [], toolCallID: String? = nil,
        name: String? = nil,
        more: [JSON.Member] = []
    ) {
        self.role = role
        self.content = content ?? ""
        isContentNull = content == nil
        self.toolCalls = toolCalls
        self.toolCallID = toolCallID
        self.name = name
        self.more = more
    }

    /// The message as templates read it.
    package var json: JSON {
        var own: [JSON.Member] = [
            .init("role", .string(role)), .init("content", isContentNull ? .null : .string(content)),
        ]
        if !toolCalls.isEmpty { own.append(.init("tool_calls", .array(toolCalls.map(\.json)))) }
        if let toolCallID { own.append(.init("tool_call_id", .string(toolCallID))) }
        if let name { own.append(.init("name", .string(name))) }
        return .object(own.filter { member in !more.contains { $0.name == member.name } } + more)
    }

    /// Whether only a template that knows tools can write it.
    var needsTools: Bool { role == "tool" || !toolCalls.isEmpty }
}

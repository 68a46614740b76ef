package import SCXInference

/// One message of a conversation.
package struct ChatMessage: Equatable, Sendable {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    package var role: String
    package var content: String
    /// Further members that a template may read, such as `tool_calls`; a `content` here replaces the text.
    package var more: [JSON.Member]

    package init(role: String, content: String, more: [JSON.Member] = []) {
        self.role = role
        self.content = content
        self.more = more
    }

    /// The message as templates read it.
    package var json: JSON {
        let own: [JSON.Member] = [.init("role", .string(role)), .init("content", .string(content))]
        return .object(own.filter { member in !more.contains { $0.name == member.name } } + more)
    }
}

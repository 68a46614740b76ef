import SCXInference

/// In which form a template is given messages.
struct MessageForm: Sendable {
    /// Content that the client sent as parts stays a list of them.
    var keepsParts = false
    /// Content that the client sent as a text becomes a list of one part.
    var splitsTexts = false
    /// What tools gave becomes a list of one part.
    var splitsResults = false
    /// Arguments of calls are texts, not objects.
    var hasTextArguments = false
    /// Names under which the template looks for the thoughts of the assistant.
    var reasoningNames = ["reasoning_content"]
}

extension ChatMessage {
    /// The message as a template reads it.
    func json(_ form: MessageForm) -> JSON {
        var own: [JSON.Member] = [.init("role", .string(role)), .init("content", contentJSON(form))]
        if !toolCalls.isEmpty {
            own.append(.init("tool_calls", .array(toolCalls.map { $0.json(asText: form.hasTextArguments) })))
        }
        if let toolCallID { own.append(.init("tool_call_id", .string(toolCallID))) }
        if let name { own.append(.init("name", .string(name))) }
        if let reasoning {
            own += form.reasoningNames.map { .init($0, .string(reasoning)) }
        }
        return .object(own.filter { member in !more.contains { $0.name == member.name } } + more)
    }

    private func contentJSON(_ form: MessageForm) -> JSON {
        if isContentNull { return .null }
        // What tools gave is one text nearly everywhere.
        if role == "tool" { return form.splitsResults ? .array([Self.part(content)]) : .string(content) }
        if form.keepsParts, let parts {
            return .array(
                parts.map {
                    switch $0 {
                    case .text(let text): Self.part(text)
                    case .picture: ["type": "image"]
                    }
                })
        }
        return form.splitsTexts ? .array([Self.part(content)]) : .string(content)
    }

    private static func part(_ text: String) -> JSON { ["type": "text", "text": .string(text)] }
}

import SCXInference

extension ChatFormat {
    /// A way to give a conversation to the template.
    struct Attempt {
        var messages: [ChatMessage]
        /// For the template to write.
        var tools: [JSON]?
        /// What the text has to hold, so that nothing is dropped in silence.
        var needed = ""
    }

    /// The ways to give this conversation to the template, best first.
    func attempts(_ messages: [ChatMessage], tools: [JSON]?) -> [Attempt] {
        let usesTools = messages.contains(where: \.needsTools)
        guard tools != nil || usesTools else { return [Attempt(messages: messages)] }
        let texts = asTexts(messages)
        guard templateKnowsTools else {
            guard let tools else { return [Attempt(messages: texts)] }
            let list = Self.list(tools)
            let instructions = Self.instructions(list)
            return [
                Attempt(messages: Self.inSystem(instructions, texts), needed: list),
                Attempt(messages: Self.inQuestion(instructions, texts), needed: list),
            ]
        }
        let fitting = toolCallFormat.fittingIDs(messages)
        guard usesTools else { return [Attempt(messages: fitting, tools: tools)] }
        // Some templates cannot write null, and some refuse several calls in one message.
        var withoutNull = fitting
        for i in withoutNull.indices { withoutNull[i].isContentNull = false }
        return [fitting, withoutNull, texts].map { Attempt(messages: $0, tools: tools) }
    }

    /// The conversation with calls and results as texts of the assistant and the user.
    ///
    /// Results in a row, and a question after them, become one message, since many templates want user and assistant
    /// to take turns.
    private func asTexts(_ messages: [ChatMessage]) -> [ChatMessage] {
        var texts: [ChatMessage] = []
        var endsWithResult = false
        for message in messages {
            var text = message
            (text.isContentNull, text.toolCalls, text.toolCallID) = (false, [], nil)
            if message.role == "tool" {
                text.role = "user"
                text.name = nil
                text.content = "<tool_response>\n\(message.content)\n</tool_response>"
            } else if !message.toolCalls.isEmpty {
                if !text.content.isEmpty { text.content += "\n" }
                text.content += toolCallFormat.text(of: message.toolCalls)
            }
            if endsWithResult, text.role == "user", let last = texts.indices.last {
                texts[last].content += "\n" + text.content
            } else {
                texts.append(text)
            }
            endsWithResult = text.role == "user" && (message.role == "tool" || endsWithResult)
        }
        return texts
    }

    /// The tools in Hermes's convention.
    private static func list(_ tools: [JSON]) -> String {
        "<tools>\n\(tools.map(\.text).joined(separator: "\n"))\n</tools>"
    }

    private static func instructions(_ list: String) -> String {
        """
        You can call functions. These are their descriptions, one in each line:
        \(list)
        To call a function, write its name and its arguments as JSON between these marks, once for each call:
        <tool_call>
        {"name": "the name", "arguments": {"an argument": "its value"}}
        </tool_call>
        What it returns follows between <tool_response> and </tool_response>.
        """
    }

    /// The conversation with these instructions at the end of the system's message.
    private static func inSystem(_ instructions: String, _ messages: [ChatMessage]) -> [ChatMessage] {
        guard let first = messages.first, first.role == "system" else {
            return [ChatMessage(role: "system", content: instructions)] + messages
        }
        var system = first
        system.content += (first.content.isEmpty ? "" : "\n\n") + instructions
        return [system] + messages.dropFirst()
    }

    /// The conversation with the system's message and these instructions before the first question.
    private static func inQuestion(_ instructions: String, _ messages: [ChatMessage]) -> [ChatMessage] {
        var messages = inSystem(instructions, messages)
        let opening = messages.removeFirst().content
        guard let place = messages.firstIndex(where: { $0.role == "user" }) else {
            return [ChatMessage(role: "user", content: opening)] + messages
        }
        messages[place].content = opening + "\n\n" + messages[place].content
        return messages
    }
}

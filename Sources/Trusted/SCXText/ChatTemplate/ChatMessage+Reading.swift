package import SCXInference

/// Why a JSON value from a client cannot be read as a message of a conversation.
///
/// Names the member, never a value: those are people's messages.
package struct ChatMessageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The path inside the message, such as `tool_calls[0].function.name`; empty for the message itself.
    package let member: String
    package let reason: String

    package var description: String { member.isEmpty ? reason : "\(member): \(reason)" }
}

extension ChatMessage {
    /// Reads a message of OpenAI's interface.
    ///
    /// `developer` is the newer name of `system`, `reasoning` of `reasoning_content`. Members that templates do not
    /// know are ignored.
    ///
    /// - Parameter json: A member of `messages`.
    /// - Throws: ``ChatMessageError`` with the first member that is wrong.
    package init(parsing json: JSON) throws(ChatMessageError) {
        guard json.object != nil else {
            throw ChatMessageError(member: "", reason: "a message has to be an object")
        }
        guard let role = json["role"]?.string else {
            throw ChatMessageError(member: "role", reason: "has to be a text")
        }
        guard ["system", "developer", "user", "assistant", "tool"].contains(role) else {
            throw ChatMessageError(
                member: "role", reason: "has to be system, developer, user, assistant or tool")
        }
        let calls = try Self.calls(json["tool_calls"])
        guard calls.isEmpty || role == "assistant" else {
            throw ChatMessageError(member: "tool_calls", reason: "only an assistant's message has calls")
        }
        let parts = try Self.parts(json["content"])
        guard parts != nil || !calls.isEmpty else {
            throw ChatMessageError(member: "content", reason: "has to be a text or a list of text parts")
        }
        let callID = try Self.optional("tool_call_id", json)
        guard callID != nil || role != "tool" else {
            throw ChatMessageError(member: "tool_call_id", reason: "has to be a text")
        }
        let newer = try Self.optional("reasoning", json)
        self.init(
            role: role == "developer" ? "system" : role, content: parts?.joined(separator: "\n"),
            toolCalls: calls, toolCallID: callID, name: try Self.optional("name", json),
            reasoning: try Self.optional("reasoning_content", json) ?? newer)
        if json["content"]?.array != nil { self.parts = parts }
    }

    private static func optional(_ name: String, _ json: JSON) throws(ChatMessageError) -> String? {
        switch json[name] {
        case nil, .some(.null): return nil
        case .string(let text): return text
        default: throw ChatMessageError(member: name, reason: "has to be a text")
        }
    }

    private static func parts(_ content: JSON?) throws(ChatMessageError) -> [String]? {
        switch content {
        case nil, .some(.null): return nil
        case .string(let text): return [text]
        case .array(let parts):
            var texts: [String] = []
            for (i, part) in parts.enumerated() {
                let type = part["type"]?.string ?? ""
                guard ["text", "input_text", "output_text"].contains(type) else {
                    throw ChatMessageError(member: "content[\(i)].type", reason: "only text is supported")
                }
                guard let text = part["text"]?.string else {
                    throw ChatMessageError(member: "content[\(i)].text", reason: "has to be a text")
                }
                texts.append(text)
            }
            return texts
        default:
            throw ChatMessageError(member: "content", reason: "has to be a text or a list of text parts")
        }
    }

    private static func calls(_ json: JSON?) throws(ChatMessageError) -> [ToolCall] {
        guard let json, !json.isNull else { return [] }
        guard let entries = json.array else {
            throw ChatMessageError(member: "tool_calls", reason: "has to be a list")
        }
        var calls: [ToolCall] = []
        for (i, entry) in entries.enumerated() {
            let function = entry["function"]
            guard let id = entry["id"]?.string else {
                throw ChatMessageError(member: "tool_calls[\(i)].id", reason: "has to be a text")
            }
            guard let name = function?["name"]?.string, !name.isEmpty else {
                throw ChatMessageError(member: "tool_calls[\(i)].function.name", reason: "has to be a text")
            }
            guard let arguments = function?["arguments"]?.string else {
                throw ChatMessageError(
                    member: "tool_calls[\(i)].function.arguments", reason: "has to be JSON as a text")
            }
            // Some clients leave the text empty when a function takes nothing.
            calls.append(ToolCall(id: id, name: name, arguments: arguments.isEmpty ? "{}" : arguments))
        }
        return calls
    }
}

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
            throw ChatMessageError(member: "content", reason: "has to be a text or a list of parts")
        }
        let callID = try Self.optional("tool_call_id", json)
        guard callID != nil || role != "tool" else {
            throw ChatMessageError(member: "tool_call_id", reason: "has to be a text")
        }
        let newer = try Self.optional("reasoning", json)
        self.init(
            role: role == "developer" ? "system" : role, content: parts?.text,
            toolCalls: calls, toolCallID: callID, name: try Self.optional("name", json),
            reasoning: try Self.optional("reasoning_content", json) ?? newer)
        if json["content"]?.array != nil { self.parts = parts }
        guard role == "user" || pictures.isEmpty else {
            throw ChatMessageError(member: "content", reason: "only a user's message may have pictures")
        }
    }

    private static func optional(_ name: String, _ json: JSON) throws(ChatMessageError) -> String? {
        switch json[name] {
        case nil, .some(.null): return nil
        case .string(let text): return text
        default: throw ChatMessageError(member: name, reason: "has to be a text")
        }
    }

    private static func parts(_ content: JSON?) throws(ChatMessageError) -> [Part]? {
        switch content {
        case nil, .some(.null): return nil
        case .string(let text): return [.text(text)]
        case .array(let values):
            var parts: [Part] = []
            for (i, value) in values.enumerated() { parts.append(try part(value, "content[\(i)]")) }
            return parts
        default:
            throw ChatMessageError(member: "content", reason: "has to be a text or a list of parts")
        }
    }

    private static func part(_ json: JSON, _ member: String) throws(ChatMessageError) -> Part {
        switch json["type"]?.string {
        case "text", "input_text", "output_text":
            guard let text = json["text"]?.string else {
                throw ChatMessageError(member: "\(member).text", reason: "has to be a text")
            }
            return .text(text)
        case "image_url", "input_image":
            // The newer interface gives the address itself.
            guard let address = json["image_url"]?["url"]?.string ?? json["image_url"]?.string else {
                throw ChatMessageError(
                    member: "\(member).image_url.url", reason: "has to be the address of a picture")
            }
            return .picture(address: address)
        default:
            throw ChatMessageError(
                member: "\(member).type", reason: "only text and image_url are supported")
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

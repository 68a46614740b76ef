import SCXInference
import SCXText

/// The messages so far, put together from the pieces that interfaces send.
///
/// Neighbouring texts of one role become one message, since many chat templates want turns to alternate; an assistant's
/// words and the calls after them are one turn too.
struct Conversation: Sendable {
    private(set) var messages: [ChatMessage] = []
    private var callIDs: Set<String> = []

    init() {}

    /// Adds a text.
    mutating func say(_ role: String, _ text: String) {
        if role != "assistant" { dropThoughts() }
        guard let last = messages.last, last.role == role, last.toolCalls.isEmpty else {
            messages.append(ChatMessage(role: role, content: text))
            return
        }
        messages[messages.count - 1].content += (last.isContentNull ? "" : "\n") + text
        messages[messages.count - 1].isContentNull = false
    }

    /// Adds what the assistant thought before what it says next.
    mutating func think(_ text: String) {
        guard !text.isEmpty else { return }
        if messages.last?.role != "assistant" {
            messages.append(ChatMessage(role: "assistant", content: nil))
        }
        let before = messages[messages.count - 1].reasoning.map { $0 + "\n" } ?? ""
        messages[messages.count - 1].reasoning = before + text
    }

    /// Drops thoughts that nothing was said after: they are no message.
    mutating func dropThoughts() {
        if let last = messages.last, last.isContentNull, last.toolCalls.isEmpty { messages.removeLast() }
    }

    /// Adds a call that the assistant made.
    mutating func call(_ call: ToolCall) {
        callIDs.insert(call.id)
        if messages.last?.role != "assistant" {
            messages.append(ChatMessage(role: "assistant", content: nil))
        }
        messages[messages.count - 1].toolCalls.append(call)
    }

    /// Adds what a call gave; false when there was no such call.
    mutating func give(_ result: String, to callID: String) -> Bool {
        guard callIDs.contains(callID) else { return false }
        dropThoughts()
        messages.append(ChatMessage(role: "tool", content: result, toolCallID: callID))
        return true
    }

    /// The messages after these instructions.
    func messages(after instructions: String?) -> [ChatMessage] {
        guard let instructions, !instructions.isEmpty else { return messages }
        var all = Conversation()
        all.say("system", instructions)
        guard let first = messages.first else { return all.messages }
        if first.role == "system" {
            all.say("system", first.content)
            return all.messages + messages.dropFirst()
        }
        return all.messages + messages
    }
}

// MARK: Keeping

extension Conversation {
    /// All of it, as `init(_:)` reads it.
    var json: JSON {
        .array(
            messages.map { message in
                var members: [JSON.Member] = [
                    .init("role", .string(message.role)),
                    .init("content", message.isContentNull ? .null : .string(message.content)),
                ]
                if !message.toolCalls.isEmpty {
                    let calls = message.toolCalls.map { call -> JSON in
                        [
                            "id": .string(call.id),
                            "function": ["name": .string(call.name), "arguments": .string(call.arguments)],
                        ]
                    }
                    members.append(.init("tool_calls", .array(calls)))
                }
                if let id = message.toolCallID { members.append(.init("tool_call_id", .string(id))) }
                if let reasoning = message.reasoning {
                    members.append(.init("reasoning_content", .string(reasoning)))
                }
                return .object(members)
            })
    }

    /// Nil for what `json` never gives.
    init?(_ json: JSON?) {
        guard let values = json?.array else { return nil }
        for value in values {
            guard let message = try? ChatMessage(parsing: value) else { return nil }
            messages.append(message)
            callIDs.formUnion(message.toolCalls.map(\.id))
        }
    }
}

import SCXInference

/// How a family of models writes calls of functions.
package enum ToolCallFormat: String, CaseIterable, Sendable {
    /// Hermes, Qwen and many others: `<tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>`.
    case hermes
    /// Llama 3.1 and later: `{"name": …, "parameters": {…}}`, perhaps after `<|python_tag|>`.
    case llama
    /// Mistral until version 7 of its tokenizer: `[TOOL_CALLS] [{"name": …, "arguments": {…}}]`.
    case mistral
    /// Mistral from version 11 on: `[TOOL_CALLS]name[ARGS]{…}`.
    case mistralNamed

    /// Tokens whose text the parser has to see, though decoding leaves special tokens out by default.
    package var markers: [String] {
        switch self {
        case .hermes: ["<tool_call>", "</tool_call>"]
        case .llama: ["<|python_tag|>"]
        case .mistral, .mistralNamed: ["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"]
        }
    }

    /// What a call begins with.
    var marker: String { markers[0] }

    /// Finds the format that a template teaches.
    ///
    /// Only the template counts: a vocabulary often has marks that its model, trained further by others, never uses.
    ///
    /// - Parameter source: The template's text.
    /// - Returns: Nil when it writes no tools, or their calls in a way not known here.
    package static func detect(template source: String) -> ToolCallFormat? {
        guard source.contains("tools") else { return nil }
        if source.contains("[TOOL_CALLS]") { return source.contains("[ARGS]") ? .mistralNamed : .mistral }
        // Some put something else than JSON inside `<tool_call>`.
        let isOther = source.contains("<function=") || source.contains("<arg_key>")
        if source.contains("<tool_call>") { return isOther ? nil : .hermes }
        if source.contains("<|python_tag|>") { return .llama }
        return source.contains("ipython") && source.contains("\"parameters\"") ? .llama : nil
    }
}

// MARK: Writing

extension ToolCallFormat {
    // Calls are written as `forcedOpening`, then for each call `forcedPrefix`, its arguments' JSON and `forcedSuffix`,
    // with `forcedBetween` between two calls, then `forcedClosing`. A grammar for calls that have to be made puts the
    // function's schema in the place of the arguments. Markers in these texts are tokens of their own where the
    // vocabulary has them.

    /// Text before the first call.
    package var forcedOpening: String { self == .mistral ? "[TOOL_CALLS] [" : "" }

    /// Text before the arguments of this function.
    package func forcedPrefix(_ name: String) -> String {
        let quoted = JSON.string(name).text
        return switch self {
        case .hermes: "<tool_call>\n{\"name\": \(quoted), \"arguments\": "
        case .llama: "{\"name\": \(quoted), \"parameters\": "
        case .mistral: "{\"name\": \(quoted), \"arguments\": "
        case .mistralNamed: "[TOOL_CALLS]\(name)[ARGS]"
        }
    }

    /// Text after the arguments.
    package var forcedSuffix: String {
        switch self {
        case .hermes: "}\n</tool_call>"
        case .llama, .mistral: "}"
        case .mistralNamed: ""
        }
    }

    /// Text between two calls.
    package var forcedBetween: String {
        switch self {
        case .hermes: "\n"
        case .llama: "; "
        case .mistral: ", "
        case .mistralNamed: ""
        }
    }

    /// Text after the last call.
    package var forcedClosing: String { self == .mistral ? "]" : "" }

    /// The calls as the model writes them; arguments that are no JSON object become a JSON string.
    package func text(of calls: [ToolCall]) -> String {
        let texts = calls.map { call in
            let arguments = call.argumentsObject == nil ? JSON.string(call.arguments).text : call.arguments
            return forcedPrefix(call.name) + arguments + forcedSuffix
        }
        return forcedOpening + texts.joined(separator: forcedBetween) + forcedClosing
    }
}

// MARK: Names of calls

extension ToolCallFormat {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")

    /// Whether templates refuse ids that are not nine letters or digits.
    private var hasShortIDs: Bool { self == .mistral || self == .mistralNamed }

    /// A new id for a call, as the templates of the family want it.
    package func newCallID() -> String {
        var random = SystemRandomNumberGenerator()
        let count = hasShortIDs ? 9 : 24
        let characters = (0..<count).map { _ in Self.alphabet[Int.random(in: 0..<62, using: &random)] }
        return (hasShortIDs ? "" : "call_") + String(characters)
    }

    /// The messages with ids that the family's templates accept.
    ///
    /// A client may bring calls of another model. The n-th id that does not fit becomes `call` and the number, so that
    /// a longer conversation begins with the same text.
    func fittingIDs(_ messages: [ChatMessage]) -> [ChatMessage] {
        guard hasShortIDs else { return messages }
        var names: [String: String] = [:]
        func fitting(_ id: String) -> String {
            if id.utf8.count == 9, id.allSatisfy({ Self.alphabet.contains($0) }) { return id }
            if let name = names[id] { return name }
            let number = "\(names.count % 100_000)"
            let name = "call" + String(repeating: "0", count: 5 - number.utf8.count) + number
            names[id] = name
            return name
        }
        return messages.map { message in
            var message = message
            for i in message.toolCalls.indices { message.toolCalls[i].id = fitting(message.toolCalls[i].id) }
            message.toolCallID = message.toolCallID.map(fitting)
            return message
        }
    }
}

import SCXInference

extension ToolCallFormat {
    /// The calls as the model writes them; arguments that are no JSON object become a JSON string.
    package func text(of calls: [ToolCall]) -> String {
        let writing = syntax.writing
        let texts = calls.enumerated().map { index, call in
            writing.prefix(call.name, index) + arguments(of: call) + writing.suffix
        }
        return writing.opening + texts.joined(separator: writing.between) + writing.closing
    }

    private func arguments(of call: ToolCall) -> String {
        let object = call.argumentsObject
        switch syntax.body {
        case .object, .named: return object == nil ? JSON.string(call.arguments).text : call.arguments
        case .parameters(let marks):
            let members = object?.object ?? [.init("arguments", .string(call.arguments))]
            return members.map { member in
                let text = member.value.string ?? member.value.text
                return marks.begin(member.name, isString: member.value.string != nil) + text + marks.end
            }.joined()
        case .python:
            let members = object?.object ?? [.init("arguments", .string(call.arguments))]
            return members.map { "\($0.name)=\(Self.python($0.value))" }.joined(separator: ", ")
        }
    }

    /// A value as Python writes it, where that is not JSON.
    static func python(_ value: JSON) -> String {
        switch value {
        case .null: "None"
        case .bool(let value): value ? "True" : "False"
        default: value.text
        }
    }

    /// What a model is told of functions when its template does not say it.
    func instructions(_ tools: [JSON]) -> String {
        let example = ToolCall(id: "", name: "the_name", arguments: "{\"an_argument\": \"its value\"}")
        return """
            \(heading)
            \(list(tools))
            To call functions, write their names and arguments in this way, and nothing after it:
            \(text(of: [example]))\(note)
            """
    }

    /// The part of the instructions that a text has to hold.
    func neededInstruction(_ tools: [JSON]) -> String { list(tools) }

    private var isDeepSeek: Bool { self == .deepSeek || self == .deepSeekPlain }

    private var heading: String {
        isDeepSeek
            ? "## Tools\nYou have access to the following tools:"
            : "You can call functions. These are their descriptions, one in each line:"
    }

    private var note: String {
        // Without a template that writes results, they come as the user's words.
        self == .hermes ? "\nWhat it returns follows between <tool_response> and </tool_response>." : ""
    }

    /// The tools: in Hermes's convention, or in the one that DeepSeek's models were trained with.
    private func list(_ tools: [JSON]) -> String {
        guard isDeepSeek else { return "<tools>\n\(tools.map(\.text).joined(separator: "\n"))\n</tools>" }
        return tools.map { tool in
            let function = tool["function"] ?? tool
            let description = function["description"]?.string ?? ""
            let parameters = function["parameters"] ?? ["type": "object", "properties": [:]]
            return """

                ### \(function["name"]?.string ?? "")
                Description: \(description)

                Parameters: \(Self.spaced(parameters))

                """
        }.joined()
    }
}

extension ToolCallFormat {
    /// JSON with blanks after commas and colons, as Python writes it.
    private static func spaced(_ json: JSON) -> String {
        switch json {
        case .array(let values): "[" + values.map(spaced).joined(separator: ", ") + "]"
        case .object(let members):
            "{" + members.map { JSON.string($0.name).text + ": " + spaced($0.value) }.joined(separator: ", ")
                + "}"
        default: json.text
        }
    }
}

extension ToolCallSyntax.ParameterMarks {
    /// What stands before the value of a parameter.
    func begin(_ key: String, isString: Bool) -> String {
        let end = saysKind ? "\" string=\"\(isString)\">" : keyClose
        return keyOpen + key + end + (valueOpen.isEmpty ? "" : "\n" + valueOpen) + (isOnLines ? "\n" : "")
    }

    /// What ends a value.
    var valueEnd: String { (isOnLines ? "\n" : "") + valueClose }

    /// What stands after a value.
    var end: String { valueEnd + "\n" }
}

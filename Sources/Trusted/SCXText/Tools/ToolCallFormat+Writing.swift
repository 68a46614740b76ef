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
        case .object, .keyed, .named: return object == nil ? JSON.string(call.arguments).text : call.arguments
        case .parameters(let marks):
            let members = object?.object ?? [.init("arguments", .string(call.arguments))]
            return members.map { member in
                let text = member.value.string.map { marks.quoted($0) } ?? member.value.text
                return marks.begin(member.name, ToolParameters.kind(of: member.value)) + text + marks.end
            }.joined()
        case .quoted(let notation), .elements(let notation, _):
            return notation.text(of: object?.object ?? [.init("arguments", .string(call.arguments))])
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
    ///
    /// - Parameters:
    ///   - key: The parameter's name.
    ///   - kind: Of its value.
    /// - Returns: Marks, key and attributes.
    func begin(_ key: String, _ kind: ToolParameters.Kind) -> String {
        var text = keyOpen
        switch attributes {
        case .none: text += key + keyClose
        case .isString: text += "\(key)\" string=\"\(kind == .string)\">"
        case .type:
            let type = kind == .integer ? ToolParameters.Kind.number : kind
            text += "\(key.escapedAttribute)\" type=\"\(type.rawValue)\"\(keyClose)"
        }
        return text + (valueOpen.isEmpty ? "" : separator + valueOpen) + (isOnLines ? "\n" : "")
    }

    /// A text between the marks that it needs.
    func quoted(_ text: String) -> String {
        guard let quotes, text.contains(where: { "<&\n".contains($0) }) else { return text }
        return quotes.open + text + quotes.close
    }

    /// What ends a value.
    var valueEnd: String { (isOnLines ? "\n" : "") + valueClose }

    /// What stands after a value.
    var end: String { valueEnd + separator }
}

extension String {
    /// The text as it stands in an attribute of a tag.
    var escapedAttribute: String {
        replacing("&", with: "&amp;").replacing("\"", with: "&quot;")
    }

    /// The text that an attribute of a tag stands for.
    var unescapedAttribute: String {
        replacing("&quot;", with: "\"").replacing("&amp;", with: "&")
    }
}

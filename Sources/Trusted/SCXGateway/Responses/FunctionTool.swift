import SCXInference

/// A function that the model may call.
struct FunctionTool: Sendable {
    let name: String
    let description: String?
    /// The JSON Schema of its arguments.
    let parameters: JSON

    /// Reads a function.
    ///
    /// - Parameters:
    ///   - fields: An object with `name` and `description`.
    ///   - schema: The field that holds the schema, which this interface may leave out when `isSchemaOptional`.
    ///   - isSchemaOptional: Without a schema the function has no arguments.
    /// - Throws: ``APIError`` that names the field at fault.
    init(_ fields: JSONFields, schema: String, isSchemaOptional: Bool) throws(APIError) {
        guard let name = try fields.string("name"), Self.isName(name, most: 128) else {
            throw fields.error("name", "must be 1 to 128 letters, digits, '_', '-' or '.'")
        }
        self.name = name
        description = try fields.string("description")
        let given = try fields.object(schema)?.json
        guard given != nil || isSchemaOptional else { throw fields.error(schema, "is missing") }
        parameters = given ?? ["type": "object", "properties": [:]]
    }

    /// Whether interfaces take a function's name of at most so many letters, digits and marks.
    static func isName(_ name: String, most: Int) -> Bool {
        (1...most).contains(name.utf8.count)
            && name.unicodeScalars.allSatisfy { scalar in
                switch scalar {
                case "a"..."z", "A"..."Z", "0"..."9", "_", "-", ".": true
                default: false
                }
            }
    }

    /// The function as chat templates and ``ChatRequest`` have it.
    var chatJSON: JSON {
        var members: [JSON.Member] = [.init("name", .string(name))]
        if let description { members.append(.init("description", .string(description))) }
        members.append(.init("parameters", parameters))
        return ["type": "function", "function": .object(members)]
    }
}

extension [FunctionTool] {
    /// Checks that a choice has something to choose from.
    ///
    /// - Throws: ``APIError`` that names `tool_choice`.
    func check(_ choice: ChatRequest.ToolChoice, _ fields: JSONFields) throws(APIError) {
        switch choice {
        case .none, .auto: break
        case .required:
            guard !isEmpty else { throw fields.error("tool_choice", "needs 'tools'") }
        case .function(let name):
            guard contains(where: { $0.name == name }) else {
                throw fields.error("tool_choice", "names a function that is not in 'tools'")
            }
        }
    }
}

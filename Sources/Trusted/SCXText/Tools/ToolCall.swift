package import SCXInference

/// A call of a function that the model asks for, as OpenAI's interface has it.
package struct ToolCall: Equatable, Sendable {
    package var id: String
    /// The function's name.
    package var name: String
    /// JSON text, as the model wrote it: an object when the model made no mistake.
    package var arguments: String

    package init(id: String, name: String, arguments: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
    }

    /// Deeper arguments stay text, so that templates, whose values are bounded, can write them still.
    private static let deepest = 32

    /// The arguments when they are a JSON object.
    package var argumentsObject: JSON? {
        let bytes = Array(arguments.utf8)
        guard let json = try? JSON(parsing: bytes.span, depth: Self.deepest), json.object != nil else {
            return nil
        }
        return json
    }

    /// The call as templates read it.
    ///
    /// - Parameter asText: The arguments are a text; otherwise they are an object when they can be.
    /// - Returns: A member of `tool_calls`.
    func json(asText: Bool = false) -> JSON {
        let object = asText ? nil : argumentsObject
        let function: JSON = ["name": .string(name), "arguments": object ?? .string(arguments)]
        return ["id": .string(id), "type": "function", "function": function]
    }
}

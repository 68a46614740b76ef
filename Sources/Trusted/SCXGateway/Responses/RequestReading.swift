import SCXInference

// What requests of the Responses interface and of Anthropic's have in common.

extension JSONFields {
    /// A text, or the texts of a list of parts, one line after the other.
    ///
    /// - Parameters:
    ///   - name: The field.
    ///   - types: Parts that are texts.
    /// - Returns: Nil where the field is missing.
    /// - Throws: ``APIError`` for parts of other types, such as images.
    func text(_ name: String, partsOf types: [String]) throws(APIError) -> String? {
        guard let value = self[name] else { return nil }
        if let text = value.string { return text }
        guard value.array != nil else { throw error(name, "must be a string or a list of parts") }
        var texts: [String] = []
        for part in try objects(name) ?? [] { texts.append(try part.text(partOf: types)) }
        return texts.joined(separator: "\n")
    }

    /// The text of this object, a part of such a list.
    func text(partOf types: [String]) throws(APIError) -> String {
        guard let type = try string("type"), types.contains(type) else {
            throw error("type", "must be \(types.joined(separator: " or ")): only text is supported here")
        }
        return try required("text", string("text"))
    }

    func required<Value>(_ name: String, _ value: Value?) throws(APIError) -> Value {
        guard let value else { throw error(name, "is missing") }
        return value
    }
}

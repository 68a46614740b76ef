import SCXInference

extension JSONFields {
    private static var mostPrompts: Int { 256 }

    /// Prompts as a text, a list of texts, token ids, or a list of lists of token ids.
    ///
    /// - Throws: ``APIError`` that names the field at fault.
    func prompts(_ name: String, vocabulary: Int) throws(APIError) -> [ChatRequest.Prompt] {
        guard let value = self[name] else { throw error(name, "is missing") }
        if let text = value.string { return [.text(text)] }
        guard let values = value.array, let first = values.first else {
            throw error(name, "must be a text, token ids, or a list of such, and not empty")
        }
        if first.int != nil { return [.tokens(try tokens(name, value, vocabulary))] }
        guard values.count <= Self.mostPrompts else {
            throw error(name, "must be at most \(Self.mostPrompts) texts or lists of token ids")
        }
        var prompts: [ChatRequest.Prompt] = []
        for (index, value) in values.enumerated() {
            if let text = value.string {
                prompts.append(.text(text))
            } else {
                prompts.append(.tokens(try tokens("\(name)[\(index)]", value, vocabulary)))
            }
        }
        return prompts
    }

    /// Token ids that the model has.
    ///
    /// - Throws: ``APIError`` that names the id's place, not the id.
    func tokens(_ name: String, _ value: JSON?, _ vocabulary: Int) throws(APIError) -> [Int32] {
        guard let values = value?.array, !values.isEmpty else {
            throw error(name, "must be a list of token ids, and not empty")
        }
        var tokens: [Int32] = []
        tokens.reserveCapacity(values.count)
        for (index, value) in values.enumerated() {
            guard let id = value.int, (0..<vocabulary).contains(id), let token = Int32(exactly: id) else {
                throw error("\(name)[\(index)]", "must be a token id, 0 to \(vocabulary - 1)")
            }
            tokens.append(token)
        }
        return tokens
    }
}

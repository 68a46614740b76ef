import SCXInference

// Fields that decide whether and how long a model thinks: variables of its chat template.

extension JSONFields {
    private static var efforts: [String] { ["none", "minimal", "low", "medium", "high", "xhigh", "max"] }

    /// How much a model is to think, by one of OpenAI's words.
    ///
    /// - Throws: ``APIError`` for another word.
    func effort(_ name: String) throws(APIError) -> String? {
        guard let effort = try string(name) else { return nil }
        guard Self.efforts.contains(effort) else {
            throw error(name, "must be one of: " + Self.efforts.joined(separator: ", "))
        }
        return effort
    }

    /// Whether a model is to think: `enable_thinking`, or `thinking` as an object with a `type`.
    ///
    /// - Throws: ``APIError`` for values that say neither.
    func thinks() throws(APIError) -> Bool? {
        if let enabled = try bool("enable_thinking") { return enabled }
        guard let thinking = try object("thinking") else { return nil }
        switch try thinking.string("type") {
        case "enabled", "adaptive": return true
        case "disabled": return false
        default: throw thinking.error("type", "must be enabled, adaptive or disabled")
        }
    }
}

extension ChatRequest {
    /// Tells the template how to have the model think.
    ///
    /// Templates know two names for whether it does; `none` as the effort says that it does not. What the request's own
    /// variables say counts more.
    mutating func think(effort: String?, enabled: Bool?) {
        var variables: [JSON.Member] = []
        if let enabled = enabled ?? (effort == "none" ? false : nil) {
            variables += [.init("enable_thinking", .bool(enabled)), .init("thinking", .bool(enabled))]
        }
        if let effort, effort != "none" { variables.append(.init("reasoning_effort", .string(effort))) }
        templateVariables = variables + templateVariables
    }
}

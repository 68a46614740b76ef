import SCXInference

/// In which forms a template takes the content of messages.
///
/// What its text tells is tried out with one question, since a template may walk over content for other reasons.
struct ContentForms: Sendable {
    /// One text.
    var takesTexts = true
    /// A list of parts, `{"type": "text", "text": …}`.
    var takesParts = false

    private static let probe = "Lorem ipsum"

    init(of template: ChatTemplate, _ specialTokens: [JSON.Member]) {
        guard template.facts.walksOverContent else { return }
        func rendered(_ content: JSON) -> String? {
            let question: JSON = ["role": "user", "content": content]
            let variables: [JSON.Member] = [
                .init("messages", [question]), .init("tools", .null), .init("documents", .null),
                .init("add_generation_prompt", true),
            ]
            return try? template.render(specialTokens + variables)
        }
        let text = rendered(.string(Self.probe))
        let parts = rendered([["type": "text", "text": .string(Self.probe)]])
        let hasText = text?.contains(Self.probe) ?? false
        // A template that prints the list as it is would have its names in the text.
        let hasParts = parts.map { $0.contains(Self.probe) && !Self.isPrinted($0) } ?? false
        takesParts = hasParts
        takesTexts = hasText || !hasParts
    }

    private static func isPrinted(_ text: String) -> Bool {
        ["'", "\""].contains { text.contains("\($0)type\($0): \($0)text\($0)") }
    }
}

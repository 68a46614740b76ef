import SCXInference

extension ToolCallSyntax {
    /// Mistral until version 7 of its tokenizer: `[TOOL_CALLS] [{"name": …, "arguments": {…}}]`.
    static let mistral = ToolCallSyntax(
        section: Marks(open: "[TOOL_CALLS]"), body: .named(mistralHeader), isList: true,
        isTaught: { $0.contains("[TOOL_CALLS]") && !$0.contains("[ARGS]") },
        writing: Writing(
            opening: "[TOOL_CALLS] [",
            prefix: { name, _ in "{\"name\": \(JSON.string(name).text), \"arguments\": " }, suffix: "}",
            between: ", ", closing: "]"))

    /// Mistral from version 11 on: `[TOOL_CALLS]name[ARGS]{…}`.
    static let mistralNamed = ToolCallSyntax(
        section: Marks(open: "[TOOL_CALLS]"), body: .named(mistralHeader), isList: true,
        isTaught: { $0.contains("[TOOL_CALLS]") && $0.contains("[ARGS]") },
        writing: Writing(prefix: { name, _ in "[TOOL_CALLS]\(name)[ARGS]" }))

    /// `name[ARGS]`, with `[CALL_ID]id` perhaps after the name.
    private static let mistralHeader = Header(allowsLines: false) { header in
        // A space can be there only because decoding puts one after a special token.
        let text = header.split(separator: "] ", omittingEmptySubsequences: false).joined(separator: "]")
        let parts = text.split(separator: "[", omittingEmptySubsequences: false)
        let tags = parts.dropFirst().map { $0.split(separator: "]", maxSplits: 1) }
        let names = tags.map { String($0.first ?? "") }
        guard [[], ["ARGS"], ["CALL_ID"], ["CALL_ID", "ARGS"]].contains(names), let name = parts.first,
            !name.isEmpty, !name.contains(" ")
        else { return nil }
        let id = names.first == "CALL_ID" && tags[0].count > 1 ? String(tags[0][1]) : nil
        return (String(name), id)
    }
}

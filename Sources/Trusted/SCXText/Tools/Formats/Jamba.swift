import SCXInference

extension ToolCallSyntax {
    /// Jamba, Apriel: `<tool_calls>[{"name": …, "arguments": {…}}, …]</tool_calls>`; MiniMax-M1 has lines, no list.
    static let jamba = ToolCallSyntax(
        section: Marks(open: "<tool_calls>", close: "</tool_calls>"), body: .object, isList: true,
        isTaught: { $0.contains("<tool_calls>") },
        writing: Writing(
            opening: "<tool_calls>[\n",
            prefix: { name, _ in "{\"name\": \(JSON.string(name).text), \"arguments\": " }, suffix: "}",
            between: ",\n", closing: "\n]</tool_calls>"))
}

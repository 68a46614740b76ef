import SCXInference

extension ToolCallSyntax {
    /// Granite 3: `<|tool_call|>[{"name": …, "arguments": {…}}, …]`; Phi-4-mini ends it by `<|/tool_call|>`.
    static let granite = ToolCallSyntax(
        section: Marks(open: "<|tool_call|>", close: "<|/tool_call|>"), body: .object, isList: true,
        isTaught: { $0.contains("<|tool_call|>") },
        writing: Writing(
            opening: "<|tool_call|>[",
            prefix: { name, _ in "{\"name\": \(JSON.string(name).text), \"arguments\": " }, suffix: "}",
            between: ", ", closing: "]"))
}

import SCXInference

extension ToolCallSyntax {
    /// Hermes, Qwen2.5, Qwen3 and many others: `<tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>`.
    static let hermes = ToolCallSyntax(
        call: Marks(open: "<tool_call>", close: "</tool_call>"), body: .object,
        isTaught: { template in
            template.contains("<tool_call>")
                && !["<function=", "<arg_key>", "<invoke"].contains { template.contains($0) }
        },
        writing: Writing(
            prefix: { name, _ in "<tool_call>\n{\"name\": \(JSON.string(name).text), \"arguments\": " },
            suffix: "}\n</tool_call>", between: "\n"))
}

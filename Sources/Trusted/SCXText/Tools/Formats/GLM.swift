extension ToolCallSyntax {
    private static let glmMarks = ParameterMarks(
        keyOpen: "<arg_key>", keyClose: "</arg_key>", valueOpen: "<arg_value>", valueClose: "</arg_value>",
        close: "</tool_call>")

    /// GLM-4.5 and 4.6: a name, and lines of `<arg_key>` and `<arg_value>`, in `<tool_call>`.
    static let glm = ToolCallSyntax(
        call: Marks(open: "<tool_call>"), body: .parameters(glmMarks),
        isTaught: { $0.contains("<arg_key>") },
        writing: Writing(
            prefix: { name, _ in "<tool_call>\(name)\n" }, suffix: "</tool_call>", between: "\n"))
}

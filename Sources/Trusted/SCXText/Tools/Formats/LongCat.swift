import SCXInference

extension ToolCallSyntax {
    /// LongCat: Hermes's form in marks of its own.
    static let longCat = ToolCallSyntax(
        call: Marks(open: "<longcat_tool_call>", close: "</longcat_tool_call>"), body: .object,
        isTaught: { $0.contains("<longcat_tool_call>") && !$0.contains("<longcat_arg_key>") },
        writing: Writing(
            prefix: { name, _ in
                "<longcat_tool_call>\n{\"name\": \(JSON.string(name).text), \"arguments\": "
            }, suffix: "}\n</longcat_tool_call>", between: "\n"))

    /// Later templates of LongCat: GLM's form in such marks.
    static let longCatKeyed: ToolCallSyntax = {
        let marks = ParameterMarks(
            keyOpen: "<longcat_arg_key>", keyClose: "</longcat_arg_key>", valueOpen: "<longcat_arg_value>",
            valueClose: "</longcat_arg_value>", close: "</longcat_tool_call>")
        return ToolCallSyntax(
            call: Marks(open: "<longcat_tool_call>"), body: .parameters(marks),
            isTaught: { $0.contains("<longcat_arg_key>") },
            writing: Writing(
                prefix: { name, _ in "<longcat_tool_call>\(name)\n" }, suffix: "</longcat_tool_call>",
                between: "\n"))
    }()
}

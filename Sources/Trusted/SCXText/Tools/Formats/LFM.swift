extension ToolCallSyntax {
    /// LFM2: `<|tool_call_start|>[name(argument="value"), …]<|tool_call_end|>`.
    static let lfm = ToolCallSyntax(
        section: Marks(open: "<|tool_call_start|>", close: "<|tool_call_end|>"), body: .python, isList: true,
        isTaught: { template in
            !template.contains("```python")
                && ["<|tool_call_start|>", "<|tool_list_start|>", "List of tools: ["].contains {
                    template.contains($0)
                }
        },
        writing: Writing(
            opening: "<|tool_call_start|>[", prefix: { name, _ in "\(name)(" }, suffix: ")", between: ", ",
            closing: "]<|tool_call_end|>"))

    /// MiniCPM3: the same as lines of a block of Python.
    static let miniCPM = ToolCallSyntax(
        section: Marks(open: "<|tool_call_start|>\n```python", close: "<|tool_call_end|>"), body: .python,
        trailers: ["```"],
        isTaught: { $0.contains("<|tool_call_start|>") && $0.contains("```python") },
        writing: Writing(
            opening: "<|tool_call_start|>\n```python\n", prefix: { name, _ in "\(name)(" }, suffix: ")",
            between: "\n", closing: "\n```\n<|tool_call_end|>"))

    /// MiniCPM5: `<function name="NAME"><param name="KEY">VALUE</param></function>`, texts perhaps as CDATA.
    static let miniCPM5 = ToolCallSyntax(
        body: .parameters(
            ParameterMarks(
                open: "<function name=\"", nameClose: "\">", keyOpen: "<param name=\"", keyClose: "\">",
                valueClose: "</param>", close: "</function>", separator: "",
                quotes: Marks(open: "<![CDATA[", close: "]]>"))),
        isTaught: { $0.contains("<function name=") && $0.contains("<param name=") },
        writing: Writing(
            prefix: { name, _ in "<function name=\"\(name)\">" }, suffix: "</function>", between: "\n"))
}

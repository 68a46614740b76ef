extension ToolCallSyntax {
    private static func functionMarks(isOnLines: Bool) -> ParameterMarks {
        ParameterMarks(
            open: "<function=", nameClose: ">", keyOpen: "<parameter=", keyClose: ">",
            valueClose: "</parameter>", close: "</function>", isOnLines: isOnLines)
    }

    /// Qwen3-Coder, Qwen3.5, Nemotron 3, Step 3.5: `<function=NAME>` and `<parameter=KEY>` in `<tool_call>`.
    static let qwenMarkup = ToolCallSyntax(
        call: Marks(open: "<tool_call>", close: "</tool_call>"),
        body: .parameters(functionMarks(isOnLines: true)),
        isTaught: { $0.contains("<tool_call>") && $0.contains("<function=") && $0.contains("<parameter=") },
        writing: Writing(
            prefix: { name, _ in "<tool_call>\n<function=\(name)>\n" }, suffix: "</function>\n</tool_call>",
            between: "\n"))

    /// Seed-OSS: the same in `<seed:tool_call>`, values beside their marks.
    static let seed = ToolCallSyntax(
        call: Marks(open: "<seed:tool_call>", close: "</seed:tool_call>"),
        body: .parameters(functionMarks(isOnLines: false)),
        isTaught: { $0.contains("<seed:tool_call>") },
        writing: Writing(
            prefix: { name, _ in "<seed:tool_call>\n<function=\(name)>\n" },
            suffix: "</function>\n</seed:tool_call>", between: "\n"))
}

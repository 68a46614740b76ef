extension ToolCallSyntax {
    /// MiniMax M2: `<invoke name="NAME">` and `<parameter name="KEY">` in `<minimax:tool_call>`.
    static let miniMax = ToolCallSyntax(
        section: Marks(open: "<minimax:tool_call>", close: "</minimax:tool_call>"),
        body: .parameters(
            ParameterMarks(
                open: "<invoke name=\"", nameClose: "\">", keyOpen: "<parameter name=\"", keyClose: "\">",
                valueClose: "</parameter>", close: "</invoke>")),
        isTaught: { $0.contains("<minimax:tool_call>") },
        writing: Writing(
            opening: "<minimax:tool_call>\n", prefix: { name, _ in "<invoke name=\"\(name)\">\n" },
            suffix: "</invoke>\n", closing: "</minimax:tool_call>"))
}

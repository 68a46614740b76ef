extension ToolCallSyntax {
    /// dots: `<invoke name="NAME">` and `<parameter name="KEY">` in `<dots_function_call>`.
    static let dots = ToolCallSyntax(
        section: Marks(open: "<dots_function_call>", close: "</dots_function_call>"),
        body: .parameters(
            ParameterMarks(
                open: "<invoke name=\"", nameClose: "\">", keyOpen: "<parameter name=\"", keyClose: "\">",
                valueClose: "</parameter>", close: "</invoke>")),
        isTaught: { $0.contains("<dots_function_call>") },
        writing: Writing(
            opening: "<dots_function_call>\n", prefix: { name, _ in "<invoke name=\"\(name)\">\n" },
            suffix: "</invoke>\n", closing: "</dots_function_call>"))
}

extension ToolCallSyntax {
    private static let stepCall = Marks(
        open: "<｜tool_call_begin｜>function<｜tool_sep｜>", close: "<｜tool_call_end｜>")

    /// Step-3: `<steptml:invoke name="NAME">` and `<steptml:parameter name="KEY">` in marks like DeepSeek's.
    static let step3 = ToolCallSyntax(
        section: Marks(open: "<｜tool_calls_begin｜>", close: "<｜tool_calls_end｜>"), call: stepCall,
        body: .parameters(
            ParameterMarks(
                open: "<steptml:invoke name=\"", nameClose: "\">", keyOpen: "<steptml:parameter name=\"",
                keyClose: "\">", valueClose: "</steptml:parameter>", close: "</steptml:invoke>")),
        isTaught: { $0.contains("<steptml:invoke") },
        writing: Writing(
            opening: "<｜tool_calls_begin｜>\n",
            prefix: { name, _ in "\(stepCall.open)<steptml:invoke name=\"\(name)\">\n" },
            suffix: "</steptml:invoke>\(stepCall.close)\n", closing: "<｜tool_calls_end｜>"))
}

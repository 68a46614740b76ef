extension ToolCallSyntax {
    /// Hy3: `<tool_call>NAME<tool_sep>` and lines of `<arg_key>` and `<arg_value>`, in `<tool_calls>`.
    ///
    /// Each of these tags has `:opensource` before its end in the published model, whose template adds it.
    static let hunyuan3: ToolCallSyntax = {
        @Sendable func tag(_ name: String) -> String { "<\(name):opensource>" }
        let section = Marks(open: tag("tool_calls"), close: tag("/tool_calls"))
        let marks = ParameterMarks(
            nameClose: tag("tool_sep"), keyOpen: tag("arg_key"), keyClose: tag("/arg_key"),
            valueOpen: tag("arg_value"), valueClose: tag("/arg_value"), close: tag("/tool_call"))
        return ToolCallSyntax(
            section: section, call: Marks(open: tag("tool_call")), body: .parameters(marks),
            isTaught: { $0.contains("<tool_sep{}>") && $0.contains(":opensource") },
            writing: Writing(
                opening: section.open + "\n",
                prefix: { name, _ in "\(tag("tool_call"))\(name)\(tag("tool_sep"))\n" },
                suffix: tag("/tool_call") + "\n", closing: section.close))
    }()
}

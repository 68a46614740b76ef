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

    private static let miniMaxMark = "]<]minimax[>["

    /// MiniMax M3: `<invoke name="NAME">` and an element named after each argument, with more of them inside for objects and
    /// lists, and the family's mark before each tag.
    static let miniMax3 = ToolCallSyntax(
        section: Marks(open: miniMaxMark + "<tool_call>", close: miniMaxMark + "</tool_call>"),
        call: Marks(open: miniMaxMark + "<invoke name=\""),
        body: .elements(
            NestedNotation(
                textClose: miniMaxMark, scalarClose: miniMaxMark, objectClose: miniMaxMark,
                listClose: miniMaxMark, keyOpen: miniMaxMark + "<", keyClose: ">",
                memberClose: { "</\($0)>" }, itemOpen: miniMaxMark + "<item>", itemClose: "</item>",
                omitsNull: true), mark: miniMaxMark),
        isTaught: { $0.contains(miniMaxMark) },
        writing: Writing(
            opening: miniMaxMark + "<tool_call>\n",
            prefix: { name, _ in "\(miniMaxMark)<invoke name=\"\(name)\">" },
            suffix: miniMaxMark + "</invoke>\n", closing: miniMaxMark + "</tool_call>"))
}

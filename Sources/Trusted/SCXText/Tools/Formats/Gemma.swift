extension ToolCallSyntax {
    private static func gemma(quote: String) -> NestedNotation {
        NestedNotation(
            textOpen: quote, textClose: quote, objectOpen: "{", objectClose: "}", listOpen: "[",
            listClose: "]", separator: ",", keyClose: ":")
    }

    private static func gemma(_ marks: Marks, quote: String) -> ToolCallSyntax {
        ToolCallSyntax(
            call: marks, body: .quoted(gemma(quote: quote)), isTaught: { $0.contains(marks.open) },
            writing: Writing(
                prefix: { name, _ in "\(marks.open)call:\(name){" }, suffix: "}\(marks.close)"))
    }

    /// Gemma 4: `<|tool_call>call:NAME{key:<|"|>text<|"|>,other:1}<tool_call|>`.
    static let gemma4 = gemma(Marks(open: "<|tool_call>", close: "<tool_call|>"), quote: "<|\"|>")

    /// FunctionGemma, a Gemma 3 for calls: the same with other marks.
    static let functionGemma = gemma(
        Marks(open: "<start_function_call>", close: "<end_function_call>"), quote: "<escape>")
}

import SCXInference

extension ToolCallSyntax {
    /// Apertus: `<|tools_prefix|>[{"NAME": {…}}, …]<|tools_suffix|>`.
    static let apertus = ToolCallSyntax(
        section: Marks(open: "<|tools_prefix|>", close: "<|tools_suffix|>"), body: .keyed, isList: true,
        isTaught: { $0.contains("<|tools_prefix|>") },
        writing: Writing(
            opening: "<|tools_prefix|>[", prefix: { name, _ in "{\(JSON.string(name).text): " }, suffix: "}",
            between: ", ", closing: "]<|tools_suffix|>"))
}

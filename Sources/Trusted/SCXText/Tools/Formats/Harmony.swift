extension ToolCallSyntax {
    /// gpt-oss: a message of channel `commentary` to `functions.NAME`; ``HarmonyParser`` reads the whole answer.
    static let harmony = ToolCallSyntax(
        body: .object,
        isTaught: { $0.contains("<|channel|>") && $0.contains("<|message|>") && $0.contains("functions.") },
        writing: Writing(
            prefix: { name, _ in
                "<|channel|>commentary to=functions.\(name) <|constrain|>json<|message|>"
            }, suffix: "", between: "<|call|><|start|>assistant"))
}

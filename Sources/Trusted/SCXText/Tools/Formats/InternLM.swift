import SCXInference

extension ToolCallSyntax {
    /// InternLM 2 and Intern-S1: `<|action_start|><|plugin|>\n{"name": …, "parameters": {…}}<|action_end|>`.
    static let internLM = ToolCallSyntax(
        section: Marks(open: "<|action_start|>", close: "<|action_end|>"), call: Marks(open: "<|plugin|>"),
        body: .object, isTaught: { $0.contains("<|action_start|>") && $0.contains("<|plugin|>") },
        writing: Writing(
            prefix: { name, _ in
                "<|action_start|><|plugin|>\n{\"name\": \(JSON.string(name).text), \"parameters\": "
            }, suffix: "}<|action_end|>"))
}

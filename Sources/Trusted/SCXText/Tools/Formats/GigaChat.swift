import SCXInference

extension ToolCallSyntax {
    /// GigaChat 3.1: `<|function_call|>{"name": …, "arguments": {…}}`, one call in a message.
    static let gigaChat = ToolCallSyntax(
        call: Marks(open: "<|function_call|>"), body: .object,
        isTaught: { $0.contains("<|function_call|>") },
        writing: Writing(
            prefix: { name, _ in
                "<|function_call|>{\"name\": \(JSON.string(name).text), \"arguments\": "
            }, suffix: "}"))
}

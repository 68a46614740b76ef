import SCXInference

extension ToolCallSyntax {
    /// Llama 3.1 and later: `{"name": …, "parameters": {…}}`, perhaps after `<|python_tag|>`.
    static let llama = ToolCallSyntax(
        call: Marks(open: "<|python_tag|>"), body: .object, isBare: true,
        isTaught: { template in
            template.contains("<|python_tag|>")
                || (template.contains("ipython") && template.contains("\"parameters\""))
        },
        writing: Writing(
            prefix: { name, _ in "{\"name\": \(JSON.string(name).text), \"parameters\": " }, suffix: "}",
            between: "; "))
}

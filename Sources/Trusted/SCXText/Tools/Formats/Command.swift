import SCXInference

extension ToolCallSyntax {
    /// Command A and R7B: `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": …, "parameters": {…}}]<|END_ACTION|>`.
    static let command = ToolCallSyntax(
        section: Marks(open: "<|START_ACTION|>", close: "<|END_ACTION|>"), body: .object, isList: true,
        isTaught: { $0.contains("<|START_ACTION|>") },
        writing: Writing(
            opening: "<|START_ACTION|>[\n",
            prefix: { name, index in
                "    {\"tool_call_id\": \"\(index)\", \"tool_name\": \(JSON.string(name).text), \"parameters\": "
            }, suffix: "}", between: ",\n", closing: "\n]<|END_ACTION|>"))
}

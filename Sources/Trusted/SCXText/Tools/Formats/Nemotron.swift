import SCXInference

extension ToolCallSyntax {
    /// Nemotron Nano 2: `<TOOLCALL>[{"name": …, "arguments": {…}}, …]</TOOLCALL>`.
    static let nemotron = ToolCallSyntax(
        section: Marks(open: "<TOOLCALL>", close: "</TOOLCALL>"), body: .object, isList: true,
        isTaught: { $0.contains("<TOOLCALL>") },
        writing: Writing(
            opening: "<TOOLCALL>[",
            prefix: { name, _ in "{\"name\": \(JSON.string(name).text), \"arguments\": " }, suffix: "}",
            between: ", ", closing: "]</TOOLCALL>"))
}

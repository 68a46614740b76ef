extension ToolCallSyntax {
    /// Solar Open: `<|tool_call:begin|>ID<|tool_call:name|>NAME<|tool_call:args|>{…}<|tool_call:end|>` in a section.
    ///
    /// The model gives each call an id of ten letters and digits. Clients get another one: the id that a grammar writes is
    /// always the same.
    static let solarOpen = ToolCallSyntax(
        section: Marks(open: "<|tool_calls|>", close: "<|calls|>"),
        call: Marks(open: "<|tool_call:begin|>", close: "<|tool_call:end|>"),
        body: .named(
            Header(allowsLines: false) { header in
                let parts = header.split(separator: "<|tool_call:name|>", omittingEmptySubsequences: false)
                guard parts.count == 2 else { return nil }
                let names = parts[1].split(separator: "<|tool_call:args|>", omittingEmptySubsequences: false)
                guard names.count == 2, names[1].allSatisfy(\.isWhitespace), !names[0].isEmpty else {
                    return nil
                }
                return (String(names[0]), nil)
            }),
        isTaught: { $0.contains("<|tool_call:begin|>") },
        writing: Writing(
            opening: "<|tool_calls|>",
            prefix: { name, index in
                "<|tool_call:begin|>\(1_000_000_000 + index)<|tool_call:name|>\(name)<|tool_call:args|>"
            }, suffix: "<|tool_call:end|>", closing: "<|calls|>"))
}

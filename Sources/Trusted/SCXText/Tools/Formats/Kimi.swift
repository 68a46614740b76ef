extension ToolCallSyntax {
    /// Kimi K2: `<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{…}<|tool_call_end|>` in a section.
    ///
    /// `functions.NAME:0` is the call's id, which the result names; calls are counted over the whole conversation.
    static let kimi = ToolCallSyntax(
        section: Marks(open: "<|tool_calls_section_begin|>", close: "<|tool_calls_section_end|>"),
        call: Marks(open: "<|tool_call_begin|>", close: "<|tool_call_end|>"),
        body: .named(
            Header { header in
                let parts = header.split(
                    separator: "<|tool_call_argument_begin|>", omittingEmptySubsequences: false)
                guard parts.count == 2, parts[1].allSatisfy(\.isWhitespace) else { return nil }
                let id = String(parts[0]).strippedPython(nil)
                guard let name = kimiName(id: id) else { return nil }
                return (name, id)
            }),
        isTaught: { $0.contains("<|tool_calls_section_begin|>") },
        writing: Writing(
            opening: "<|tool_calls_section_begin|>",
            prefix: { name, index in
                "<|tool_call_begin|>functions.\(name):\(index)<|tool_call_argument_begin|>"
            }, suffix: "<|tool_call_end|>", closing: "<|tool_calls_section_end|>"))

    /// The function of an id such as `functions.NAME:0`.
    static func kimiName(id: String) -> String? {
        guard let colon = id.lastIndex(of: ":"), Int(id[id.index(after: colon)...]) != nil else { return nil }
        let prefix = "functions."
        let name = id.hasPrefix(prefix) ? id[..<colon].dropFirst(prefix.count) : id[..<colon]
        return name.isEmpty || name.contains(where: \.isWhitespace) ? nil : String(name)
    }
}

extension ToolCallSyntax {
    /// Kimi K3: `<|open|>call tool="NAME" index="1"<|sep|>` and arguments as tags, in `<|open|>tools<|sep|>`.
    ///
    /// An argument is `<|open|>argument key="KEY" type="string"<|sep|>VALUE<|close|>argument<|sep|>`, and its type says
    /// whether the value is a text or JSON.
    static let kimi3 = ToolCallSyntax(
        section: Marks(open: "<|open|>tools<|sep|>", close: "<|close|>tools<|sep|>"),
        body: .parameters(
            ParameterMarks(
                open: "<|open|>call tool=\"", nameClose: "<|sep|>", keyOpen: "<|open|>argument key=\"",
                keyClose: "<|sep|>", valueClose: "<|close|>argument<|sep|>", close: "<|close|>call<|sep|>",
                separator: "", attributes: .type)),
        isTaught: { $0.contains("<|open|>") && $0.contains("<|sep|>") },
        writing: Writing(
            opening: "<|open|>tools<|sep|>",
            prefix: { name, index in
                "<|open|>call tool=\"\(name.escapedAttribute)\" index=\"\(index + 1)\"<|sep|>"
            }, suffix: "<|close|>call<|sep|>", closing: "<|close|>tools<|sep|>"))
}

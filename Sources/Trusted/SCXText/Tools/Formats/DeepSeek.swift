extension ToolCallSyntax {
    private static let deepSeekSection = Marks(open: "<｜tool▁calls▁begin｜>", close: "<｜tool▁calls▁end｜>")
    private static let deepSeekCall = Marks(open: "<｜tool▁call▁begin｜>", close: "<｜tool▁call▁end｜>")
    private static let deepSeekSeparator = "<｜tool▁sep｜>"

    private static func isDeepSeek(_ template: String) -> Bool {
        template.contains(deepSeekSection.open) || template.contains(deepSeekCall.open)
    }

    /// DeepSeek V3 and R1: in the section `function<｜tool▁sep｜>NAME\n` and the arguments as a block of JSON.
    static let deepSeek = ToolCallSyntax(
        section: deepSeekSection, call: deepSeekCall,
        body: .named(
            Header { header in
                let parts = header.split(separator: deepSeekSeparator, omittingEmptySubsequences: false)
                guard parts.count == 2 else { return nil }
                let lines = parts[1].split(separator: "\n", omittingEmptySubsequences: false)
                let name = String(lines.first ?? "").strippedPython(nil)
                let rest = lines.dropFirst().joined().strippedPython(nil)
                guard !name.isEmpty, ["", "```json", "```"].contains(rest) else { return nil }
                return (name, nil)
            }),
        trailers: ["```"],
        isTaught: { isDeepSeek($0) && $0.contains("```json") },
        writing: Writing(
            opening: deepSeekSection.open,
            prefix: { name, _ in "\(deepSeekCall.open)function\(deepSeekSeparator)\(name)\n```json\n" },
            suffix: "\n```\(deepSeekCall.close)", between: "\n", closing: deepSeekSection.close))

    /// DeepSeek V3.1: in the section `NAME<｜tool▁sep｜>{…}`.
    static let deepSeekPlain = ToolCallSyntax(
        section: deepSeekSection, call: deepSeekCall,
        body: .named(
            Header { header in
                let parts = header.split(separator: deepSeekSeparator, omittingEmptySubsequences: false)
                guard parts.count == 2, parts[1].allSatisfy(\.isWhitespace) else { return nil }
                let name = String(parts[0]).strippedPython(nil)
                return name.isEmpty ? nil : (name, nil)
            }),
        isTaught: { isDeepSeek($0) && !$0.contains("```json") },
        writing: Writing(
            opening: deepSeekSection.open,
            prefix: { name, _ in "\(deepSeekCall.open)\(name)\(deepSeekSeparator)" },
            suffix: deepSeekCall.close, closing: deepSeekSection.close))

    /// DeepSeek V3.2: `<｜DSML｜invoke name="NAME">` with parameters that say whether they are strings.
    static let deepSeekMarkup = deepSeekMarkup(section: "function_calls")

    /// DeepSeek V4: the same in another section.
    static let deepSeekMarkup4 = deepSeekMarkup(section: "tool_calls")

    private static func deepSeekMarkup(section: String) -> ToolCallSyntax {
        let marks = Marks(open: "<｜DSML｜\(section)>", close: "</｜DSML｜\(section)>")
        return ToolCallSyntax(
            section: marks,
            body: .parameters(
                ParameterMarks(
                    open: "<｜DSML｜invoke name=\"", nameClose: "\">", keyOpen: "<｜DSML｜parameter name=\"",
                    keyClose: ">", valueClose: "</｜DSML｜parameter>", close: "</｜DSML｜invoke>",
                    attributes: .isString)),
            isTaught: { $0.contains("｜DSML｜") && $0.contains("\(section)>") },
            writing: Writing(
                opening: marks.open + "\n", prefix: { name, _ in "<｜DSML｜invoke name=\"\(name)\">\n" },
                suffix: "</｜DSML｜invoke>\n", closing: marks.close))
    }
}

extension ToolCallSyntax {
    /// Functionary 3.1, and Llama 3.1 with functions of one's own: `<function=NAME>{…}</function>`.
    static let functionary = ToolCallSyntax(
        call: Marks(open: "<function=", close: "</function>"),
        body: .named(
            Header(allowsLines: false) { header in
                let parts = header.split(separator: ">", omittingEmptySubsequences: false)
                guard parts.count == 2, parts[1].allSatisfy(\.isWhitespace), !parts[0].isEmpty else {
                    return nil
                }
                return (String(parts[0]), nil)
            }),
        isTaught: { $0.contains("<function=") },
        writing: Writing(prefix: { name, _ in "<function=\(name)>" }, suffix: "</function>"))
}

package import SCXInference

/// A model's chat template, which makes the text of a prompt from a conversation: the part of Jinja that published models
/// use.
///
/// The meaning is that of Hugging Face's `apply_chat_template`, byte for byte. What is not supported is an error that
/// names it. Templates come with models, from strangers: reading and rendering one is bounded in depth, work and
/// memory. Differences from Jinja: integers have 64 bits, and `escape` and `safe` give plain strings.
package struct ChatTemplate: Sendable {
    package let name: String
    package let source: String
    private let body: [TemplateStatement]
    /// What can be told from the template's text without rendering it.
    package let facts: TemplateFacts

    /// Longest text of a template, in bytes.
    package static let longest = 1 << 20

    /// Reads a template.
    ///
    /// - Parameters:
    ///   - source: Its text.
    ///   - name: What errors call it, such as the name of its file.
    /// - Throws: What is wrong or not supported, and where.
    package init(source: String, name: String) throws(TemplateError) {
        guard source.utf8.count <= Self.longest else {
            throw TemplateError(template: name, line: 0, reason: "longer than \(Self.longest) bytes")
        }
        self.name = name
        self.source = source
        body = try TemplateParser.statements(of: source, template: name)
        facts = TemplateFacts(body)
    }

    /// Renders the template with these variables.
    ///
    /// - Parameters:
    ///   - variables: Names and values.
    ///   - clock: Gives the date to templates that ask for it.
    /// - Returns: The text of the prompt.
    /// - Throws: Why there is none: a fault of the template, or one that it raises about the messages.
    package func render(
        _ variables: [JSON.Member], clock: @escaping () -> TemplateDate = TemplateDate.now
    ) throws(TemplateError) -> String {
        try TemplateRun(template: name, clock: clock).render(body, with: variables)
    }
}

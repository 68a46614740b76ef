extension ChatFormat {
    /// The tokens that the template puts before and after every question.
    ///
    /// They are found by rendering two questions with different words: tokens at both ends that are equal come from the
    /// template.
    ///
    /// - Parameter tokenizer: Of the model.
    /// - Returns: Tokens at both ends, and how many the shorter of the two prompts has.
    /// - Throws: A fault of the template.
    package func marks(
        _ tokenizer: Tokenizer
    ) throws(TemplateError) -> (begin: [Int32], end: [Int32], shortest: Int) {
        func tokens(_ question: String) throws(TemplateError) -> [Int32] {
            // The template writes the special tokens itself.
            tokenizer.encode(
                try prompt([ChatMessage(role: "user", content: question)]), addSpecialTokens: false)
        }
        let (a, b) = (try tokens("Lorem ipsum"), try tokens("42 times? No!"))
        return (
            begin: zip(a, b).prefix { $0 == $1 }.map(\.0),
            end: zip(a.reversed(), b.reversed()).prefix { $0 == $1 }.map(\.0).reversed(),
            shortest: min(a.count, b.count)
        )
    }
}

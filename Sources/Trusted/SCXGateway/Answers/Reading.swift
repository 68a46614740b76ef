package import SCXEngine

/// Inputs to be embedded.
package struct EmbeddingRequest: Sendable {
    /// Texts or tokens.
    package var inputs: [ChatRequest.Prompt]
    /// What comes before each text.
    package var prompt: TextEmbedder.Prompt
    /// The most tokens of an input, whose end is left out; nil when an input that is too long is an error.
    package var cut: Int?
    package var key: String
    package var profile: String?
}

/// Texts to be scored for a query.
package struct RerankRequest: Sendable {
    package var query: String
    package var documents: [String]
    package var instruction: String?
    /// The most tokens of a pair, whose end is left out; nil when a pair that is too long is an error.
    package var cut: Int?
    package var key: String
    package var profile: String?
}

/// What the engine read of a text, from which its vector or score is made.
package struct TextReading: Equatable, Sendable {
    package let reading: [Float]
    package let promptTokens: Int

    package init(reading: [Float], promptTokens: Int) {
        (self.reading, self.promptTokens) = (reading, promptTokens)
    }
}

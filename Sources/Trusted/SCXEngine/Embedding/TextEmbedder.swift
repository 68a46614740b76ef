package import SCXInference
package import SCXText

/// Why a text cannot be embedded; the cases carry names and sizes, never the text.
package enum EmbeddingError: Error, Equatable, Sendable, CustomStringConvertible {
    case noTokenizer
    case noSuchPrompt(names: [String])
    /// The model's prompts have no instruction that another one could replace.
    case noInstructions
    case tooLong(tokens: Int, limit: Int)
    case empty
    case wrongDimensions(Int, most: Int)
    /// The model gives no scores of pairs.
    case noScores
    /// The model's head has more than the one label that is a score.
    case severalLabels(Int)
    /// The tokenizer has no template for pairs of texts.
    case noPairs

    package var description: String {
        switch self {
        case .noTokenizer: "the model has no tokenizer.json"
        case .noSuchPrompt(let names):
            "the model has no prompt of that name (it has: "
                + "\(names.isEmpty ? "none" : names.joined(separator: ", ")))"
        case .noInstructions:
            "the model's prompts have no instruction ('Instruct: …') that another one could replace; give a whole prompt"
        case .tooLong(let tokens, let limit):
            "the text has \(tokens) tokens, and this model embeds at most \(limit) at once"
        case .empty: "the text has no tokens"
        case .wrongDimensions(let asked, let most): "\(asked) dimensions, the model has 1 to \(most)"
        case .noScores:
            "this model does not score pairs of texts: it has no classification head, and is no Qwen3-Reranker"
        case .severalLabels(let count):
            "this model sorts texts into \(count) labels; a reranker has one, whose logit is the score"
        case .noPairs: "tokenizer.json has no template for pairs of texts"
        }
    }
}

/// Turns texts into requests for the engine, and what it computed into vectors.
package struct TextEmbedder: Sendable {
    /// What comes before a text.
    package enum Prompt: Equatable, Sendable {
        /// The model's default, if it has one.
        case standard
        case named(String)
        case text(String)
        /// The model's own form of instructions with this one in it, as E5-Mistral and Qwen3-Embedding have it.
        case instruction(String)
    }

    package let modules: SentenceModules
    private let tokenizer: Tokenizer?
    /// The most tokens of a text, with special tokens.
    package let longest: Int
    /// The token that belongs after a text whose last token is pooled, where the tokenizer adds none.
    private let ending: Int32?
    /// Channels of a text's vector.
    package let vectorSize: Int

    /// Makes an embedder.
    ///
    /// - Parameters:
    ///   - modules: How the model embeds.
    ///   - tokenizer: The model's; nil for tokens alone.
    ///   - configuration: The model's configuration.
    package init(
        _ modules: SentenceModules, tokenizer: Tokenizer?, configuration: DecoderConfiguration
    ) {
        self.modules = modules
        self.tokenizer = tokenizer
        longest = min(modules.longest ?? .max, configuration.maximumLength)
        vectorSize = modules.vectorSize > 0 ? modules.vectorSize : configuration.hiddenSize
        ending = modules.pooling.contains(.lastToken) ? tokenizer?.configuredEnding : nil
    }

    /// The request for a text's embedding.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - prompt: What comes before it.
    ///   - cut: The most tokens that are embedded, with special tokens, the text's end being left out; nil when a text
    ///     that is too long is an error.
    /// - Returns: The request, whose reading ``vector(_:dimensions:)`` takes.
    /// - Throws: ``EmbeddingError``.
    package func request(
        _ text: String, prompt: Prompt = .standard, cut: Int? = nil
    ) throws(EmbeddingError) -> GenerationRequest {
        guard let tokenizer else { throw .noTokenizer }
        let before = try self.text(of: prompt)
        let whole = modules.lowercases ? (before + text).lowercased() : before + text
        var skipped = 0
        if !modules.poolsPrompt, !before.isEmpty {
            let tokens = tokenizer.encode(modules.lowercases ? before.lowercased() : before)
            skipped = tokens.count - (tokens.last.map { tokenizer.isSpecial($0) } == true ? 1 : 0)
        }
        let room = cut.map { min($0, longest) - (ending == nil ? 0 : 1) }
        var tokens = tokenizer.encode(whole, longest: room)
        if let ending, tokens.last != ending { tokens.append(ending) }
        return try request(tokens, skipping: skipped)
    }

    /// The request for the embedding of given tokens, which stay as they are.
    ///
    /// - Parameters:
    ///   - tokens: The tokens, special ones included.
    ///   - skipped: How many at the beginning are not pooled.
    /// - Returns: As ``request(_:prompt:cut:)``.
    /// - Throws: ``EmbeddingError``.
    package func request(
        _ tokens: [Int32], skipping skipped: Int = 0
    ) throws(EmbeddingError) -> GenerationRequest {
        guard !tokens.isEmpty else { throw .empty }
        guard tokens.count <= longest else { throw .tooLong(tokens: tokens.count, limit: longest) }
        var request = GenerationRequest(prompt: tokens, maximumTokens: 0, sampling: SamplingParameters())
        request.reading = .pooled(modules.pooling, skipping: skipped)
        return request
    }

    /// Checks a number of dimensions.
    ///
    /// - Throws: ``EmbeddingError/wrongDimensions(_:most:)``
    package func check(dimensions: Int?) throws(EmbeddingError) {
        guard let dimensions, !(1...vectorSize).contains(dimensions) else { return }
        throw .wrongDimensions(dimensions, most: vectorSize)
    }

    /// The vector of a text, from what the engine computed.
    package func vector(_ reading: [Float], dimensions: Int? = nil) -> [Float] {
        modules.finish(reading, dimensions: dimensions)
    }

    private func text(of prompt: Prompt) throws(EmbeddingError) -> String {
        switch prompt {
        case .standard: return modules.defaultPrompt.flatMap { modules.prompts[$0] } ?? ""
        case .text(let text): return text
        case .named(let name):
            guard let text = modules.prompts[name] else {
                throw .noSuchPrompt(names: modules.prompts.keys.sorted())
            }
            return text
        case .instruction(let instruction):
            // "Instruct: …\nQuery:" and, in E5-Mistral, a space.
            for name in modules.prompts.keys.sorted() {
                guard let text = modules.prompts[name], text.hasPrefix("Instruct: "),
                    let line = text.firstIndex(of: "\n")
                else { continue }
                return "Instruct: " + instruction + text[line...]
            }
            throw .noInstructions
        }
    }
}

package import SCXInference
package import SCXText

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Scores how well texts answer a query: by the head of a cross-encoder, or by the logits of "yes" and "no" as
/// Qwen3-Reranker was trained.
package struct PairScorer: Sendable {
    private enum Way: Sendable {
        /// The tokenizer's template for pairs, then the head.
        case pair(SequenceClassifier)
        /// The prompt of Qwen3-Reranker, then the head or the logits of two tokens.
        case prompt(PromptEnd)
    }

    private enum PromptEnd: Sendable {
        case head(SequenceClassifier)
        case logits(yes: Int32, no: Int32?)
    }

    private let way: Way
    private let tokenizer: Tokenizer
    private let hasKinds: Bool
    /// The most tokens of a pair, with all that is put around it.
    package let longest: Int

    /// Makes a scorer for a model.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - modules: What sentence-transformers' files say of it.
    ///   - tokenizer: The model's.
    /// - Throws: ``EmbeddingError/noScores`` when the model scores no pairs, ``EmbeddingError/noTokenizer``, or
    ///   ``CheckpointError`` when the head cannot be read.
    package init(_ checkpoint: Checkpoint, _ modules: SentenceModules, tokenizer: Tokenizer?) throws {
        let configuration = checkpoint.configuration
        guard let tokenizer else { throw EmbeddingError.noTokenizer }
        self.tokenizer = tokenizer
        longest = min(modules.longest ?? .max, configuration.maximumLength)
        hasKinds = configuration.tokenTypeCount > 1
        if let classifier = try SequenceClassifier(checkpoint) {
            guard classifier.head.labels == 1 else {
                throw EmbeddingError.severalLabels(classifier.head.labels)
            }
            if configuration.family == .qwen3 {
                way = .prompt(.head(classifier))
            } else {
                guard tokenizer.encode(pair: "", "") != nil else { throw EmbeddingError.noPairs }
                way = .pair(classifier)
            }
            return
        }
        guard configuration.family == .qwen3, configuration.hasHead else { throw EmbeddingError.noScores }
        if let tokens = modules.scoreTokens {
            way = .prompt(.logits(yes: tokens.yes, no: tokens.no))
        } else {
            guard let yes = tokenizer.id(for: "yes"), let no = tokenizer.id(for: "no") else {
                throw EmbeddingError.noScores
            }
            way = .prompt(.logits(yes: yes, no: no))
        }
    }

    /// The request for a pair's score.
    ///
    /// - Parameters:
    ///   - query: The query.
    ///   - document: The text that may answer it.
    ///   - instruction: What the query is for, where the model is told; nil for the published text.
    ///   - cut: The most tokens of a pair, whose end is left out; nil when a pair that is too long is an error.
    /// - Returns: The request, whose reading ``score(_:)`` takes.
    /// - Throws: ``EmbeddingError``.
    package func request(
        _ query: String, _ document: String, instruction: String? = nil, cut: Int? = nil
    ) throws(EmbeddingError) -> GenerationRequest {
        let limit = cut.map { min($0, longest) }
        var request: GenerationRequest
        switch way {
        case .pair(let classifier):
            guard instruction == nil else { throw .noInstructions }
            guard let (tokens, kinds) = tokenizer.encode(pair: query, document, longest: limit) else {
                throw .noPairs
            }
            request = GenerationRequest(prompt: tokens, maximumTokens: 0, sampling: SamplingParameters())
            request.tokenKinds = hasKinds ? kinds : []
            request.reading = .pooled([classifier.head.pooling.pooling])
        case .prompt(let end):
            request = GenerationRequest(
                prompt: prompt(query, document, instruction, limit), maximumTokens: 0,
                sampling: SamplingParameters())
            switch end {
            case .head(let classifier): request.reading = .pooled([classifier.head.pooling.pooling])
            case .logits(let yes, let no): request.reading = .logits(of: [yes] + [no].compactMap(\.self))
            }
        }
        guard request.prompt.count <= longest else {
            throw .tooLong(tokens: request.prompt.count, limit: longest)
        }
        return request
    }

    /// The score of a pair, from what the engine computed: the greater, the better the text answers the query.
    package func score(_ reading: [Float]) -> Float {
        switch way {
        case .pair(let classifier), .prompt(.head(let classifier)): return classifier.scores(reading)[0]
        case .prompt(.logits(_, let no)):
            // The softmax over the two logits, or without a "no" the logit alone.
            return no == nil ? reading[0] : 1 / (1 + expf(reading[1] - reading[0]))
        }
    }

    /// The prompt of <https://huggingface.co/Qwen/Qwen3-Reranker-0.6B>; of a pair that is too long the middle part, which
    /// holds query and document, loses its end.
    private func prompt(
        _ query: String, _ document: String, _ instruction: String?, _ limit: Int?
    ) -> [Int32] {
        func tokens(_ text: String) -> [Int32] { tokenizer.encode(text, addSpecialTokens: false) }
        let before = tokens(
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
                + "provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n"
        )
        let after = tokens("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
        let instruction =
            instruction ?? "Given a web search query, retrieve relevant passages that answer the query"
        let middle = tokens("<Instruct>: \(instruction)\n<Query>: \(query)\n<Document>: \(document)")
        let room = limit.map { max(0, $0 - before.count - after.count) } ?? middle.count
        return before + middle.prefix(room) + after
    }
}

extension SequenceHead.Pooling {
    fileprivate var pooling: SCXEngine.Pooling {
        switch self {
        case .first: .cls
        case .mean: .mean
        case .last: .lastToken
        }
    }
}

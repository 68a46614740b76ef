import Crypto
import SCXEngine
import SCXImages
import SCXInference
import SCXText
import Synchronization
import Tracing

/// Answers requests with a model.
package struct ModelAnswers: Answering {
    package let model: ServedModel
    private let observer: ServerObserver
    private let views: WorkerViewStore?
    private let table: LazyTable
    /// Special tokens that grammars read as text.
    private let tableMarks: [String]
    private let grammars = GrammarCache()

    /// - Parameters:
    ///   - model: What answers.
    ///   - observer: Hears of each answer.
    ///   - views: Keeps what the worker saw, for requests that ask for it; nil when none may.
    package init(_ model: ServedModel, observer: ServerObserver, views: WorkerViewStore? = nil) {
        (self.model, self.observer, self.views) = (model, observer, views)
        tableMarks = model.chatFormat?.answers(withTools: true).marks ?? []
        table = LazyTable(model.tokenizer, marks: tableMarks)
    }

    /// What a request comes down to before it is computed.
    private struct Prepared: Sendable {
        let generation: GenerationRequest
        /// Reads the answer.
        let parser: AnswerParser
        /// How the model writes calls; nil when it is told of no tools.
        let format: ToolCallFormat?
    }

    package func chat(_ request: ChatRequest) async throws(APIError) -> RunningChat {
        guard model.configuration.hasHead else { throw APIError(EngineError.cannotGenerate) }
        let profile = try model.profile(named: request.profile)
        let size = request.size
        let prepared = try await model.work.run(bytes: size, key: request.key) { () throws(APIError) in
            try prepare(request, profile)
        }
        let generation = prepared.generation
        let capture = request.count == 1 ? capture(request, profile) : nil
        var streams: [EngineLoop.Events] = []
        for choice in 0..<request.count {
            var one = generation
            if let seed = request.sampling.seed { one.sampling.seed = seed &+ UInt64(choice) }
            do throws(AdmissionError) {
                streams.append(
                    try profile.loop.submit(
                        one, owner: Owner(key: request.key, salt: request.salt), alone: capture?.alone))
            } catch { throw APIError(error) }
        }
        let readers = (0..<request.count).map { choice in
            ChoiceReader(
                choice: choice, profile: profile.name, prompt: generation.prompt, parser: prepared.parser,
                format: prepared.format, showsReasoning: request.showsReasoning, observer: observer,
                capture: capture)
        }
        return RunningChat(
            prompt: generation.prompt, profile: profile.name, events: Self.merge(streams, readers))
    }

    /// Renders and tokenises the prompt, and compiles what the answer is held to: on a thread of the pool.
    private func prepare(
        _ request: ChatRequest, _ profile: ServedProfile
    ) throws(APIError) -> Prepared {
        let tools = try usedTools(request)
        let limit = profile.loop.maximumLength
        let pictures = try pictures(of: request)
        let (prompt, start) = try prompt(
            of: request, tools: tools.isEmpty ? nil : tools, pictures: pictures, limit: limit)
        try check(prompt, fits: profile)
        var generation = GenerationRequest(
            prompt: prompt,
            maximumTokens: request.maximumTokens ?? max(1, limit - prompt.count),
            sampling: request.sampling,
            stop: StopConditions(
                tokens: (request.ignoresEnd ? [] : model.stopTokens).union(request.stopTokens),
                ignoresTokens: request.ignoresEnd && request.stopTokens.isEmpty, strings: request.stop))
        generation.pictures = pictures
        generation.stop.leastTokens = request.minimumTokens
        generation.stop.isShown = request.showsStop
        generation.sampling.forbiddenSequences = try forbiddenSequences(request.badWords)
        generation.promptAlternatives = request.promptAlternatives
        var syntax = AnswerSyntax()
        if case .messages = request.prompt {
            syntax = model.chatFormat?.answers(withTools: !tools.isEmpty) ?? syntax
            generation.continuesText = request.ending == .inside
        } else {
            generation.continuesText = true
        }
        var marks = syntax.marks
        if let digest = request.grammarDigest(tools: tools, syntax: syntax, start: start) {
            let grammar = try grammar(digest, request, tools, syntax, start)
            generation.constraint = TokenConstraint(grammar, atStart: !generation.continuesText)
            // The grammar has seen all marks as text.
            marks = tableMarks
        }
        if let tokenizer = model.tokenizer {
            generation.shownTokens = Set(marks.compactMap { tokenizer.id(for: $0) })
            if request.showsSpecialTokens { generation.shownTokens.formUnion(tokenizer.specialTokens) }
        }
        let parser = AnswerParser(
            syntax, start: start, tools: tools, mostCalls: request.allowsParallelCalls ? .max : 1)
        return Prepared(generation: generation, parser: parser, format: syntax.calls)
    }

    /// What keeps the worker's view of a request that asks for it.
    private func capture(_ request: ChatRequest, _ profile: ServedProfile) -> ViewCapture? {
        guard let id = request.viewID, let views, !profile.links.isEmpty else { return nil }
        return ViewCapture(
            id: id, key: request.key, profile: profile.name, store: views, links: profile.links)
    }

    // MARK: Prompts

    /// The tokens of a prompt, and where the answer to it begins.
    ///
    /// - Parameters:
    ///   - request: What has the prompt.
    ///   - tools: Functions that the model is told of.
    ///   - pictures: The pictures of the messages.
    ///   - limit: Most tokens that the model takes; a text that must have more is not tokenised.
    /// - Returns: The tokens, and whether the model may think first.
    /// - Throws: ``APIError``.
    private func prompt(
        of request: ChatRequest, tools: [JSON]?, pictures: [ImagePixels], limit: Int
    ) throws(APIError) -> (tokens: [Int32], start: AnswerStart) {
        switch request.prompt {
        case .tokens(let tokens): return (tokens, .text)
        case .text(let text): return (try encode(text, limit: limit), .text)
        case .messages(let messages):
            let format = try model.requireChatFormat()
            var text: String
            do throws(TemplateError) {
                text = try format.prompt(
                    messages, ending: request.ending, tools: tools, documents: request.documents,
                    more: request.templateVariables)
            } catch {
                throw .invalid(
                    "The model's chat template refuses these messages: \(error.reason).", param: "messages")
            }
            if let reader = model.pictures {
                do throws(ImageError) { text = try reader.prompt(text, pictures) } catch {
                    throw .invalid("\(error)", param: "messages")
                }
            }
            let begun = request.ending == .inside ? messages.last?.content : nil
            let start = format.reasoning?.start(after: text, begun: begun) ?? .text
            return (try encode(text, addSpecialTokens: false, limit: limit), start)
        }
    }

    /// The pictures of the messages, as the model's encoder takes them.
    private func pictures(of request: ChatRequest) throws(APIError) -> [ImagePixels] {
        guard case .messages(let messages) = request.prompt else { return [] }
        let addresses = messages.flatMap(\.pictures)
        guard !addresses.isEmpty else { return [] }
        guard let reader = model.pictures else {
            throw .invalid("Model '\(model.name)' takes no pictures.", param: "messages")
        }
        guard addresses.count <= PictureReader.mostPictures else {
            throw .invalid(
                "The messages have \(addresses.count) pictures; the most is \(PictureReader.mostPictures).",
                param: "messages")
        }
        var pictures: [ImagePixels] = []
        var room = PictureReader.mostPixels
        for (index, address) in addresses.enumerated() {
            guard !Interruption.isRequested else { throw .clientGone }
            do throws(ImageError) {
                pictures.append(try reader.pixels(ofAddress: address, room: &room))
            } catch {
                throw .invalid("Picture \(index + 1): \(error).", param: "messages")
            }
        }
        return pictures
    }

    private func encode(
        _ text: String, addSpecialTokens: Bool = true, limit: Int
    ) throws(APIError) -> [Int32] {
        let tokenizer = try model.requireTokenizer()
        guard text.utf8.count / Self.mostBytesOfToken <= limit else {
            throw .invalid(
                "This model's maximum context length is \(limit) tokens; a prompt of \(text.utf8.count) bytes "
                    + "has more.", param: "messages", code: "context_length_exceeded")
        }
        return tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
    }

    /// Far above the bytes of text that one token stands for in any published vocabulary, white space that tokens swallow
    /// included.
    private static let mostBytesOfToken = 512

    /// The tokens of texts that an answer must not have, at the beginning of a text and after a space.
    private func forbiddenSequences(_ words: [String]) throws(APIError) -> [[Int32]] {
        guard !words.isEmpty else { return [] }
        let tokenizer = try model.requireTokenizer()
        var sequences: [[Int32]] = []
        for word in words {
            let word = word.drop { $0.isWhitespace }
            for text in [String(word), " " + word] {
                let tokens = tokenizer.encode(text, addSpecialTokens: false)
                if !tokens.isEmpty, !sequences.contains(tokens) { sequences.append(tokens) }
            }
        }
        return sequences
    }

    private func check(_ prompt: [Int32], fits profile: ServedProfile) throws(APIError) {
        let limit = profile.loop.maximumLength - 1
        guard prompt.count <= limit else {
            throw APIError(EngineError.promptTooLong(tokens: prompt.count, limit: limit))
        }
        let vocabulary = profile.loop.vocabularySize
        guard prompt.allSatisfy({ $0 >= 0 && $0 < vocabulary }) else {
            throw APIError(EngineError.tokenOutOfRange(vocabulary: vocabulary))
        }
        guard !prompt.isEmpty else { throw APIError(EngineError.emptyPrompt) }
    }

    /// The tools that the model is told of.
    private func usedTools(_ request: ChatRequest) throws(APIError) -> [JSON] {
        if request.toolChoice == .none { return [] }
        if request.tools.isEmpty, request.toolChoice != .auto {
            throw .invalid("'tool_choice' asks for a call, but there are no 'tools'.", param: "tool_choice")
        }
        return request.tools
    }

    // MARK: Constraints

    private func grammar(
        _ digest: SHA256.Digest, _ request: ChatRequest, _ tools: [JSON], _ syntax: AnswerSyntax,
        _ start: AnswerStart
    ) throws(APIError) -> CompiledGrammar {
        guard let table = table.value else {
            throw .invalid("A model without tokenizer cannot be held to a format.", param: "response_format")
        }
        return try grammars.grammar(digest) { () throws(APIError) in
            let budget = CompilationBudget(isCancelled: { Interruption.isRequested })
            let grammar = try Grammar(
                of: request, tools: tools, syntax: syntax, start: start, budget: budget)
            do throws(ConstraintError) {
                return try CompiledGrammar(
                    grammar ?? .anyValue, table: table, endTokens: Array(model.stopTokens), budget: budget)
            } catch {
                throw .invalid("\(error).", param: "response_format", code: "invalid_schema")
            }
        }
    }

    // MARK: Events

    /// The events of all answers as they come.
    private static func merge(
        _ streams: [EngineLoop.Events], _ readers: [ChoiceReader]
    ) -> AsyncThrowingStream<ChatEvent, any Error> {
        let (events, continuation) = AsyncThrowingStream<ChatEvent, any Error>.makeStream()
        let task = Task {
            do {
                try await withThrowingTaskGroup { group in
                    for (stream, reader) in zip(streams, readers) {
                        group.addTask {
                            var reader = reader
                            let span = startSpan("answer")
                            defer { span.end() }
                            span.attributes["profile"] = reader.profile
                            do {
                                for try await event in stream {
                                    for kind in reader.read(event) {
                                        continuation.yield(ChatEvent(choice: reader.choice, kind))
                                    }
                                    // All calls that may be made are made.
                                    if reader.hasFinished { break }
                                }
                            } catch {
                                reader.end(error)
                                throw error
                            }
                            span.attributes["answer_tokens"] = reader.answerTokens
                            reader.end()
                        }
                    }
                    try await group.waitForAll()
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: APIError(error))
            }
        }
        continuation.onTermination = { end in
            if case .cancelled = end { task.cancel() }
        }
        return events
    }
}

/// The bytes of all tokens, made when they are first needed.
private final class LazyTable: Sendable {
    private let tokenizer: Tokenizer?
    private let marks: [String]
    private let table = Mutex<TokenTable?>(nil)

    init(_ tokenizer: Tokenizer?, marks: [String]) { (self.tokenizer, self.marks) = (tokenizer, marks) }

    /// Nil without a tokenizer.
    var value: TokenTable? {
        table.withLock { table in
            if table == nil { table = tokenizer.map { TokenTable($0, marks: marks) } }
            return table
        }
    }
}

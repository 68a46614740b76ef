import SCXEngine

extension ModelAnswers {
    /// How many texts of one request are with the engine at once, which computes them together.
    private static var readAtOnce: Int { 16 }

    package func embed(_ request: EmbeddingRequest) async throws(APIError) -> [TextReading] {
        let embedder = model.embedder
        let before = request.prompt.size
        let size = request.inputs.reduce(0) { $0 + before + ChatRequest(prompt: $1).size }
        return try await read(request.inputs, bytes: size, key: request.key, profile: request.profile) {
            input throws(EmbeddingError) in
            switch input {
            case .text(let text): try embedder.request(text, prompt: request.prompt, cut: request.cut)
            case .tokens(let tokens): try embedder.request(Array(tokens.prefix(request.cut ?? .max)))
            case .messages: throw EmbeddingError.empty
            }
        }
    }

    package func rerank(_ request: RerankRequest) async throws(APIError) -> [TextReading] {
        guard let scorer = model.scorer else { throw APIError(EmbeddingError.noScores) }
        // Each document is read with the query and the instruction.
        let before = request.query.utf8.count + (request.instruction?.utf8.count ?? 0)
        let size = request.documents.reduce(0) { $0 + before + $1.utf8.count }
        return try await read(
            request.documents, bytes: size, key: request.key, profile: request.profile
        ) { document throws(EmbeddingError) in
            try scorer.request(
                request.query, document, instruction: request.instruction, cut: request.cut)
        }
    }

    /// Turns texts into requests and has the engine compute them.
    ///
    /// - Parameters:
    ///   - texts: The texts.
    ///   - bytes: The size of all texts, each with what comes before it.
    ///   - key: The key of the client.
    ///   - profile: The profile that the client names.
    ///   - request: Turns a text into tokens.
    /// - Returns: What was read of each text.
    /// - Throws: ``APIError`` when the texts would take minutes to turn into tokens, or one of them cannot be read.
    private func read<Text: Sendable>(
        _ texts: [Text], bytes: Int, key: String, profile: String?,
        _ request: @escaping @Sendable (Text) throws(EmbeddingError) -> GenerationRequest
    ) async throws(APIError) -> [TextReading] {
        guard bytes <= Self.longestTogether else {
            throw .invalid("the texts, each with what comes before it, are too long together")
        }
        let served = try model.profile(named: profile)
        let requests = try await model.work.run(bytes: bytes, key: key) {
            () throws(APIError) -> [GenerationRequest] in
            do throws(EmbeddingError) { return try texts.map(request) } catch { throw APIError(error) }
        }
        return try await read(requests, key: key, served)
    }

    /// The most bytes of a request's texts, each with what comes before it.
    private static var longestTogether: Int { 32 << 20 }

    /// Has the engine compute requests, some of them at a time.
    private func read(
        _ requests: [GenerationRequest], key: String, _ served: ServedProfile
    ) async throws(APIError) -> [TextReading] {
        do {
            return try await withThrowingTaskGroup(of: (place: Int, reading: TextReading).self) { group in
                var readings = requests.map { _ in TextReading(reading: [], promptTokens: 0) }
                for (place, request) in requests.enumerated() {
                    if place >= Self.readAtOnce, let done = try await group.next() {
                        readings[done.place] = done.reading
                    }
                    var submitted: EngineLoop.Events?
                    while submitted == nil {
                        do throws(AdmissionError) {
                            submitted = try served.loop.submit(request, owner: Owner(key: key))
                        } catch {
                            // The places may be taken by this request's own texts.
                            guard error != .draining, let done = try await group.next() else { throw error }
                            readings[done.place] = done.reading
                        }
                    }
                    guard let events = submitted else { continue }
                    group.addTask {
                        for try await event in events where event.finished != nil {
                            return (
                                place,
                                TextReading(reading: event.reading, promptTokens: request.prompt.count)
                            )
                        }
                        throw AdmissionError.draining
                    }
                }
                for try await done in group { readings[done.place] = done.reading }
                return readings
            }
        } catch { throw APIError(error) }
    }
}

extension TextEmbedder.Prompt {
    /// Bytes that come before each text, about; those of the model's own files are few.
    fileprivate var size: Int {
        switch self {
        case .standard, .named: 0
        case .text(let text), .instruction(let text): text.utf8.count
        }
    }
}

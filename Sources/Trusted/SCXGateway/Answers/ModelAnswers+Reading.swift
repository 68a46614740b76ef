import SCXEngine

extension ModelAnswers {
    /// How many texts of one request are with the engine at once, which computes them together.
    private static var readAtOnce: Int { 16 }

    package func embed(_ request: EmbeddingRequest) async throws(APIError) -> [TextReading] {
        let embedder = model.embedder
        let before = request.prompt.size
        let size = request.inputs.reduce(0) { $0 + before + ChatRequest(prompt: $1).size }
        try Self.check(size)
        let served = try model.profile(named: request.profile)
        let requests = try await model.work.run(bytes: size, key: request.key) {
            () throws(APIError) -> [GenerationRequest] in
            var requests: [GenerationRequest] = []
            for input in request.inputs {
                do throws(EmbeddingError) {
                    switch input {
                    case .text(let text):
                        requests.append(try embedder.request(text, prompt: request.prompt, cut: request.cut))
                    case .tokens(let tokens):
                        requests.append(try embedder.request(Array(tokens.prefix(request.cut ?? .max))))
                    case .messages: throw EmbeddingError.empty
                    }
                } catch { throw APIError(error) }
            }
            return requests
        }
        return try await read(requests, key: request.key, served)
    }

    package func rerank(_ request: RerankRequest) async throws(APIError) -> [TextReading] {
        guard let scorer = model.scorer else { throw APIError(EmbeddingError.noScores) }
        // Each document is read with the query and the instruction.
        let before = request.query.utf8.count + (request.instruction?.utf8.count ?? 0)
        let size = request.documents.reduce(0) { $0 + before + $1.utf8.count }
        try Self.check(size)
        let served = try model.profile(named: request.profile)
        let requests = try await model.work.run(bytes: size, key: request.key) {
            () throws(APIError) -> [GenerationRequest] in
            var requests: [GenerationRequest] = []
            for document in request.documents {
                do throws(EmbeddingError) {
                    requests.append(
                        try scorer.request(
                            request.query, document, instruction: request.instruction,
                            cut: request.cut))
                } catch { throw APIError(error) }
            }
            return requests
        }
        return try await read(requests, key: request.key, served)
    }

    /// Refuses texts that would take minutes to turn into tokens.
    ///
    /// - Parameter bytes: All texts, each with what comes before it.
    /// - Throws: ``APIError`` when there are too many.
    private static func check(_ bytes: Int) throws(APIError) {
        guard bytes <= longestTogether else {
            throw .invalid("the texts, each with what comes before it, are too long together")
        }
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

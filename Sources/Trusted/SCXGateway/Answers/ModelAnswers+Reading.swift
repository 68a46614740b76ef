import SCXEngine

extension ModelAnswers {
    /// How many texts of one request are with the engine at once, which computes them together.
    private static var readAtOnce: Int { 16 }

    package func embed(_ request: EmbeddingRequest) async throws(APIError) -> [TextReading] {
        let embedder = model.embedder
        let size = request.inputs.reduce(0) { $0 + ChatRequest(prompt: $1).size }
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
        let size = request.documents.reduce(request.query.utf8.count) { $0 + $1.utf8.count }
        let served = try model.profile(named: request.profile)
        let requests = try await model.work.run(bytes: size, key: request.key) {
            () throws(APIError) -> [GenerationRequest] in
            var requests: [GenerationRequest] = []
            for document in request.documents {
                do throws(EmbeddingError) {
                    requests.append(
                        try scorer.request(
                            request.query, document, instruction: request.instruction,
                            truncates: request.truncates))
                } catch { throw APIError(error) }
            }
            return requests
        }
        return try await read(requests, key: request.key, served)
    }

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
                    let events = try served.loop.submit(request, owner: Owner(key: key))
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

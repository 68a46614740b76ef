import SCXEngine
import SCXInference

/// `POST /rerank`, also under `/v1` and `/v2`, as the interfaces of Cohere and Jina have it.
package enum Reranking {
    private static let mostDocuments = 1_024

    /// Orders texts by how well they answer a query.
    ///
    /// - Throws: ``APIError`` that names the field at fault, or says why there is no answer.
    package static func reply(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        let body = request.body
        let (name, profile) = try model.asked(by: request)
        try body.refuse(UnsupportedFields.ofReranking)
        guard let scorer = model.scorer else {
            throw .invalid(
                "Model '\(model.name)' scores no pairs of texts (\(model.scorerFault ?? "no scorer")).",
                param: "model", code: "not_a_reranker")
        }
        guard let query = try body.string("query") else { throw body.error("query", "is missing") }
        let documents = try documents(body)
        let count = try body.int("top_n", 1...Int.max) ?? documents.count
        let returnsTexts = try body.bool("return_documents") ?? false
        let asked = RerankRequest(
            query: query, documents: documents, instruction: try body.string("instruction"),
            cut: try body.longestPrompt(scorer.longest), key: request.key, profile: profile)

        let readings = try await answering.rerank(asked)
        let scores = readings.map { scorer.score($0.reading) }
        let order = scores.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }
        let results = order.prefix(count).map { index -> JSON in
            var members: [JSON.Member] = [
                .init("index", .int(index)), .init("relevance_score", .double(Double(scores[index]))),
            ]
            if returnsTexts { members.append(.init("document", ["text": .string(documents[index])])) }
            return .object(members)
        }
        let tokens = readings.reduce(0) { $0 + $1.promptTokens }
        return .json(
            [
                "id": .string(newName("rerank-")), "model": .string(name), "results": .array(results),
                "usage": ["prompt_tokens": .int(tokens), "total_tokens": .int(tokens)],
            ], headers: [.profile(profile)])
    }

    /// Texts, or objects with a `text`.
    private static func documents(_ body: JSONFields) throws(APIError) -> [String] {
        guard let values = try body.array("documents"), !values.isEmpty else {
            throw body.error("documents", "must be a list of texts, and not empty")
        }
        guard values.count <= mostDocuments else {
            throw body.error("documents", "must be at most \(mostDocuments) texts")
        }
        var texts: [String] = []
        for (index, value) in values.enumerated() {
            guard let text = value.string ?? value["text"]?.string else {
                throw body.error("documents[\(index)]", "must be a text, or an object with a 'text'")
            }
            texts.append(text)
        }
        return texts
    }
}

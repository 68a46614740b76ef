import Foundation
import SCXEngine
import SCXInference

/// `POST /v1/embeddings`.
package enum Embeddings {
    /// Turns texts into vectors.
    ///
    /// - Throws: ``APIError`` that names the field at fault, or says why there is no answer.
    package static func reply(
        _ request: APIRequest, _ answering: any Answering
    ) async throws(APIError) -> APIReply {
        let model = answering.model
        let body = request.body
        let (name, profile) = try model.asked(by: request)
        try body.refuse(UnsupportedFields.ofEmbeddings)
        let inputs = try body.prompts("input", vocabulary: model.configuration.vocabularySize)
        let format = try body.string("encoding_format") ?? "float"
        guard ["float", "base64"].contains(format) else {
            throw body.error("encoding_format", "must be 'float' or 'base64'")
        }
        let dimensions = try body.int("dimensions", 1...model.embedder.vectorSize)
        let isNormalized = try body.bool("normalize") ?? false
        _ = try body.string("user")
        let asked = EmbeddingRequest(
            inputs: inputs, prompt: try body.embeddingPrompt(),
            cut: try body.longestPrompt(model.embedder.longest), key: request.key, profile: profile)

        let embeddings = try await answering.embed(asked)
        let data = embeddings.enumerated().map { index, embedding -> JSON in
            let vector = model.embedder.vector(embedding.reading, dimensions: dimensions)
            let values = isNormalized ? SentenceModules.normalized(vector) : vector
            return [
                "object": "embedding", "index": .int(index),
                "embedding": format == "base64"
                    ? .string(base64(values)) : .array(values.map { .double(Double($0)) }),
            ]
        }
        let tokens = embeddings.reduce(0) { $0 + $1.promptTokens }
        return .json(
            [
                "object": "list", "data": .array(data), "model": .string(name),
                "usage": ["prompt_tokens": .int(tokens), "total_tokens": .int(tokens)],
            ], headers: [.profile(profile)])
    }

    /// Little-endian 32-bit floats.
    private static func base64(_ values: [Float]) -> String {
        var bytes = Data(capacity: 4 * values.count)
        for value in values {
            for shift in stride(from: UInt32(0), to: 32, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
            }
        }
        return bytes.base64EncodedString()
    }
}

extension JSONFields {
    /// What comes before each text: a prompt by its name, as it is, or an instruction in the model's own form.
    ///
    /// - Throws: ``APIError`` for more than one of them.
    fileprivate func embeddingPrompt() throws(APIError) -> TextEmbedder.Prompt {
        let name = try string("prompt_name")
        let text = try string("prompt")
        let instruction = try string("instruction")
        switch (name, text, instruction) {
        case (nil, nil, nil): return .standard
        case (let name?, nil, nil): return .named(name)
        case (nil, let text?, nil): return .text(text)
        case (nil, nil, let instruction?): return .instruction(instruction)
        default: throw error("prompt_name", "goes with neither 'prompt' nor 'instruction'")
        }
    }

    /// The most tokens of an input whose end may be left out; nil when inputs are not cut.
    ///
    /// - Parameter longest: What -1 stands for.
    /// - Returns: The number, at most `longest`.
    /// - Throws: ``APIError`` for one that is no number of tokens.
    func longestPrompt(_ longest: Int) throws(APIError) -> Int? {
        guard let tokens = try int("truncate_prompt_tokens", -1...Int.max) else { return nil }
        guard tokens != 0 else {
            throw error(
                "truncate_prompt_tokens", "must be 1 or more, or -1 for the most that the model takes")
        }
        return tokens == -1 ? longest : min(tokens, longest)
    }
}

import Foundation
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
        let width = model.configuration.hiddenSize
        guard try body.int("dimensions", 1...Int.max) ?? width == width else {
            throw body.error("dimensions", "must be \(width), which this model has")
        }
        let isNormalized = try body.bool("normalize") ?? false
        _ = try body.string("user")

        var data: [JSON] = []
        var tokens = 0
        for input in inputs {
            let embedding = try await answering.embed(input, key: request.key, profile: profile)
            tokens += embedding.promptTokens
            let values = isNormalized ? normalized(embedding.values) : embedding.values
            data.append([
                "object": "embedding", "index": .int(data.count),
                "embedding": format == "base64"
                    ? .string(base64(values)) : .array(values.map { .double(Double($0)) }),
            ])
        }
        return .json(
            [
                "object": "list", "data": .array(data), "model": .string(name),
                "usage": ["prompt_tokens": .int(tokens), "total_tokens": .int(tokens)],
            ], headers: [.profile(profile)])
    }

    /// A vector of length 1 in the same direction; zero stays as it is.
    private static func normalized(_ values: [Float]) -> [Float] {
        let length = values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        return length > 0 ? values.map { Float(Double($0) / length) } : values
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

import Foundation
import SCXEngine
import SCXImages
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// What transformers computed from a small random model that takes pictures; `Tests/Fixtures/vision/README.md` says how.
struct VisionCase: CustomTestStringConvertible, Sendable {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/vision").path

    static let all: [VisionCase] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { !$0.hasSuffix(".md") }.sorted().map { VisionCase(name: $0) }
    }()
    /// Models that generate.
    static let generating = all.filter { $0.name.hasPrefix("llava") || $0.name.hasPrefix("gemma3") }
    /// Models that take pictures alone.
    static let towers = all.filter { !$0.name.hasPrefix("llava") && !$0.name.hasPrefix("gemma3") }

    let name: String

    var testDescription: String { name }
    var directory: String { "\(Self.folder)/\(name)" }

    /// A prompt with what follows it.
    struct Prompt {
        let tokens: [Int32]
        /// Nil where the prompt has none.
        let pictures: ImagePixels?
        /// For each token, `[tokens, vocabulary]`.
        let logits: [Float]
        let greedy: [Int32]

        /// A greedy request for `count` tokens.
        func request(_ count: Int) -> GenerationRequest {
            var request = SCXEngineTests.greedy(tokens, count)
            if let pictures { request.pictures = [pictures] }
            return request
        }
    }

    /// The tensors of `expected.safetensors`.
    struct Expected {
        private let bytes: [UInt8]
        private let start: Int
        private let header: JSON

        init(_ directory: String) throws {
            bytes = [UInt8](try Data(contentsOf: URL(filePath: directory + "/expected.safetensors")))
            start = 8 + Int(Self.integer(bytes[0..<8]))
            header = try JSON(parsing: String(decoding: bytes[8..<start], as: UTF8.self))
        }

        /// Prompts 0 and 1 have the same tokens and different pictures; prompt 2 has no picture.
        func prompt(_ number: Int) throws -> Prompt {
            Prompt(
                tokens: try tokens("prompt.\(number)"), pictures: number < 2 ? try pixels(number) : nil,
                logits: try floats("logits.\(number)"), greedy: try tokens("greedy.\(number)"))
        }

        func pixels(_ number: Int) throws -> ImagePixels {
            let shape = (header["pixels.\(number)"]?["shape"]?.array ?? []).compactMap(\.int)
            try #require(shape.count == 4)
            return ImagePixels(
                count: shape[0], channels: shape[1], height: shape[2], width: shape[3],
                values: try floats("pixels.\(number)"))
        }

        func floats(_ name: String) throws -> [Float] {
            let data = try data(name)
            return stride(from: data.startIndex, to: data.endIndex, by: 4).map {
                Float(bitPattern: UInt32(Self.integer(data[$0..<$0 + 4])))
            }
        }

        private func tokens(_ name: String) throws -> [Int32] {
            let data = try data(name)
            return stride(from: data.startIndex, to: data.endIndex, by: 8).map {
                Int32(Self.integer(data[$0..<$0 + 8]))
            }
        }

        private func data(_ name: String) throws -> ArraySlice<UInt8> {
            let offsets = (header[name]?["data_offsets"]?.array ?? []).compactMap(\.int)
            try #require(offsets.count == 2, "no tensor '\(name)'")
            return bytes[start + offsets[0]..<start + offsets[1]]
        }

        private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 {
            bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    func expected() throws -> Expected { try Expected(directory) }

    /// Profile `plain` in float32, over a link.
    func plain(
        wrap: (any WorkerLink) -> any WorkerLink = { $0 }
    ) throws -> (checkpoint: Checkpoint, forward: PlainForwardPass) {
        let checkpoint = try Checkpoint(directory: directory)
        let decoder = try Decoder(checkpoint, format: .f32, pool: SealedFixture.pool)
        return (
            checkpoint,
            PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                link: wrap(InProcessLink(Worker(model: decoder))),
                pictures: try PictureModel(checkpoint, pool: SealedFixture.pool))
        )
    }

    /// An engine over a forward pass.
    func engine(
        _ configuration: DecoderConfiguration, _ forward: any ForwardPass,
        scheduler: Scheduler = Scheduler(), drafter: (any Drafter)? = nil
    ) -> Engine {
        Engine(
            forward: forward, tokenizer: nil, vocabularySize: configuration.vocabularySize,
            maximumLength: configuration.maximumLength, scheduler: scheduler, drafter: drafter)
    }
}

/// Computes the logits of a prompt's tokens as the engine asks for them: picture by picture, then in segments.
func logits(_ prompt: VisionCase.Prompt, _ forward: any ForwardPass, _ slot: UInt32 = 7) throws -> [Float] {
    guard let given = prompt.pictures, let pictures = forward.pictures, let tokens = pictures.tokens else {
        return try forward.compute(
            BatchSegment(
                slot: Slot(number: slot), position: 0, tokens: prompt.tokens, output: .allLogits))
    }
    let size = given.values.count / given.count
    var rows: [Float] = []
    for index in 0..<given.count {
        rows += try forward.compute(picture: given.values[index * size..<(index + 1) * size])
    }
    let inserted = PictureRows(plaintext(rows, channels: pictures.channels))
    var logits: [Float] = []
    var (first, row) = (0, 0)
    while first < prompt.tokens.count {
        let isPicture = prompt.tokens[first] == Int32(tokens.token)
        let part = prompt.tokens[first...].prefix { ($0 == Int32(tokens.token)) == isPicture }
        logits += try forward.compute(
            BatchSegment(
                slot: Slot(number: slot), position: first, tokens: Array(part), output: .allLogits,
                inserted: isPicture
                    ? InsertedRows(inserted, places: part.indices.map { $0 - first + row }) : nil,
                isMutual: isPicture && tokens.isMutual))
        if isPicture { row += part.count }
        first = part.endIndex
    }
    return logits
}

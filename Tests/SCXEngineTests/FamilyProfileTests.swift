import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

/// What transformers generated from a small random checkpoint; `Tests/Fixtures/parity/README.md` says how.
private struct Generated {
    let prompt: [Int32]
    let greedy: [Int32]

    init(_ name: String) throws {
        let path = TinyModel.folder.appending(path: name).appending(path: "expected.safetensors")
        let bytes = [UInt8](try Data(contentsOf: path))
        let size = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try JSON(parsing: String(decoding: bytes[8..<8 + size], as: UTF8.self))
        func tokens(_ tensor: String) throws -> [Int32] {
            let offsets = (header[tensor]?["data_offsets"]?.array ?? []).compactMap(\.int)
            try #require(offsets.count == 2)
            return stride(from: 8 + size + offsets[0], to: 8 + size + offsets[1], by: 8).map { at in
                bytes[at..<at + 4].reversed().reduce(0) { $0 << 8 | Int32($1) }
            }
        }
        (prompt, greedy) = (try tokens("prompt"), try tokens("greedy"))
    }
}

@Suite("families by profile")
struct FamilyProfileTests {
    @Test(
        "the engine generates what transformers generates, in profile plain", arguments: SealedFixture.names)
    func plain(name: String) throws {
        let expected = try Generated(name)
        let fixture = try SealedFixture(name)
        let decoder = try Decoder(fixture.checkpoint, format: .f32, pool: SealedFixture.pool)
        let engine = fixture.engine(
            PlainForwardPass(
                embedding: try TokenEmbedding(fixture.checkpoint),
                configuration: fixture.checkpoint.configuration,
                link: InProcessLink(Worker(model: decoder))))
        // An answer ends where the model's positions end.
        let count = min(
            expected.greedy.count, fixture.checkpoint.configuration.maximumLength - expected.prompt.count)
        #expect(try answer(engine, greedy(expected.prompt, count)) == Array(expected.greedy.prefix(count)))
    }

    @Test(
        "profile scx refuses what is not of Llama's form, and says why",
        arguments: [
            "gemma2", "gemma3", "phi3-partial", "smollm3", "olmo2", "granite", "gpt2", "starcoder2",
            "mixtral", "qwen2-moe", "qwen3-moe", "deepseek-v2", "deepseek-v3", "gpt-oss",
        ])
    func refusal(name: String) throws {
        let checkpoint = try Checkpoint(directory: TinyModel.folder.appending(path: name).path)
        let error = #expect(throws: CheckpointError.self) { try ScxOptions.check(checkpoint) }
        #expect(error.map { "\($0)" }?.contains("in profile scx, since it") == true)
        try ScxOptions.check(Checkpoint(directory: TinyModel.folder.appending(path: "phi3").path))
    }
}

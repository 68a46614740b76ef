import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing

@Suite("GGUF files by profile")
struct GGUFProfileTests {
    private static let folder = TinyModel.folder.deletingLastPathComponent().appending(path: "quantized/gguf")

    @Test(
        "in profile sealed a GGUF file gives the answer of the directory that it was made of",
        arguments: [
            "llama-biases", "gemma3", "phi3", "smollm3", "granite", "gpt2", "mixtral", "qwen2-moe-everywhere",
            "deepseek-v3-yarn", "gpt-oss",
        ])
    func sealed(name: String) throws {
        let directory = try SealedFixture(name)
        let file = try SealedFixture(directory: Self.folder.appending(path: "\(name).gguf").path)
        let prompt = directory.prompt(12)
        let expected = try answer(directory.engine(directory.fixedPoint()), greedy(prompt, 24))
        #expect(expected.count == 24)
        #expect(try answer(file.engine(file.sealed()), greedy(prompt, 24)) == expected)
    }

    @Test("both sides of a link agree on the identity of a file, and tell it from another")
    func identity() throws {
        let path = Self.folder.appending(path: "qwen3.gguf").path
        let digest = try Checkpoint(directory: path).digest()
        #expect(try Checkpoint(directory: path).digest() == digest)
        let other = Self.folder.appending(path: "qwen3-yarn.gguf").path
        #expect(try Checkpoint(directory: other).digest() != digest)
    }
}

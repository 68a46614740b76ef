import Foundation
import SCXInference
import SCXText
import Testing

@Suite("tokenizers of GGUF files")
struct GGUFTokenizerTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/quantized/gguf-tokenizers").path

    private func path(_ name: String) -> String { "\(Self.folder)/\(name).gguf" }

    @Test(
        "hard cases give the tokens of the tokenizer that the file was made of",
        arguments: ["gpt2", "llama3", "qwen2", "tekken", "o200k"])
    func encodes(name: String) throws {
        let tokenizer = try Tokenizer(directory: path(name))
        let (texts, rows) = (try TokenizerFixtures.hardTexts(), try TokenizerFixtures.rows(name))
        try #require(texts.count == rows.count)
        for (text, row) in zip(texts, rows) {
            #expect(tokenizer.encode(text) == row.ids, "\(text.debugDescription)")
            #expect(isSame(tokenizer.decode(row.ids), row.decoded))
        }
    }

    @Test("merges made of scores give the tokens that transformers' merges give")
    func scores() throws {
        let tokenizer = try Tokenizer(path: path("pieces"))
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(Self.folder)/pieces.json")))
        let rows = try #require(JSON(parsing: bytes.span).array)
        let texts = try TokenizerFixtures.hardTexts()
        try #require(texts.count == rows.count)
        for (text, row) in zip(texts, rows) {
            let expected = (row.array ?? []).compactMap(\.int).map { Int32($0) }
            #expect(tokenizer.encode(text) == expected, "\(text.debugDescription)")
        }
    }

    @Test("templates are read, with the special tokens that they name")
    func template() throws {
        let format = try #require(try ChatFormat.load(directory: URL(filePath: path("pieces"))))
        let text = try format.prompt([ChatMessage(role: "user", content: "Hi")])
        #expect(text == "<s>user: Hi</s>assistant:")
        #expect(try ChatFormat.load(directory: URL(filePath: path("gpt2"))) == nil)
    }

    @Test("a way to split texts that is not known is refused by name")
    func unknownSplit() throws {
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: path("qwen2"))))
        let place = try #require(bytes.firstRange(of: Array("qwen2".utf8)))
        bytes.replaceSubrange(place, with: "qwenX".utf8)
        let copy = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString).gguf")
        defer { try? FileManager.default.removeItem(at: copy) }
        try Data(bytes).write(to: copy)
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(directory: copy.path) }
        #expect(error?.description.contains("tokenizer.ggml.pre") == true)
        #expect(error?.description.contains("'qwenX'") == true)
    }
}

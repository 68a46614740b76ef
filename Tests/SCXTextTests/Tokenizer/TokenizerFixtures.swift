import Foundation
import SCXInference
import SCXText
import Testing

/// The small tokenizers of every family, with what the `tokenizers` package makes of the hard cases.
enum TokenizerFixtures {
    static let families = [
        "gpt2", "gpt2-prefix", "llama3", "qwen2", "o200k", "tekken", "llama2", "llama2-normalized", "mistral",
        "metaspace", "added",
    ]

    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: root.appending(path: "Tests/Fixtures/tokenizers/\(name).json")))
    }

    static func json(_ name: String) throws -> JSON {
        let bytes = try bytes(name)
        return try JSON(parsing: bytes.span)
    }

    static func tokenizer(_ family: String) throws -> Tokenizer {
        try Tokenizer(json: json(family), name: "\(family).json")
    }

    static let hardCases = Result { try json("hard-cases") }

    static func hardTexts() throws -> [String] {
        try #require(hardCases.get()["texts"]?.array).compactMap(\.string)
    }

    /// Tokens and what they decode to.
    struct Row {
        let ids: [Int32]
        let decoded: String
        let decodedWithSpecials: String
    }

    static func rows(_ name: String) throws -> [Row] {
        try #require(hardCases.get()[name]?.array).map { row in
            let parts = try #require(row.array)
            let decoded = try #require(parts[1].string)
            return Row(
                ids: try #require(parts[0].array).compactMap { $0.int.flatMap { Int32(exactly: $0) } },
                decoded: decoded,
                decodedWithSpecials: parts.count > 2 ? try #require(parts[2].string) : decoded)
        }
    }

    /// A text that is not part of the package, nil where it is not at hand.
    static func parityText(_ name: String) -> [UInt8]? {
        (try? Data(contentsOf: root.appending(path: "../shared/data/\(name)"))).map { [UInt8]($0) }
    }

    static var hasParityTexts: Bool { parityText("shakespeare.txt") != nil }
}

/// Whether two texts are the same scalar by scalar: `==` takes canonically equivalent texts for equal.
func isSame(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

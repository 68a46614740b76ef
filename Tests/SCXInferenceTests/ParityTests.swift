import Foundation
import SCXInference
import Testing

/// What transformers computed from a small random checkpoint; `Tests/Fixtures/parity/README.md` says how.
struct ParityCase: CustomTestStringConvertible, Sendable {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/parity").path

    static let all: [ParityCase] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { !$0.hasSuffix(".md") }.sorted().map { ParityCase(name: $0) }
    }()

    let name: String

    var testDescription: String { name }
    var directory: String { "\(Self.folder)/\(name)" }

    /// What transformers computed from a checkpoint.
    struct Expected {
        let prompt: [Int32]
        /// For each token of the prompt, `[prompt, vocabulary]`.
        let logits: [Float]
        let greedy: [Int32]
    }

    func expected() throws -> Expected { try Self.expected(in: directory) }

    /// The tensors of a directory's `expected.safetensors`, as numbers.
    static func expected(in directory: String) throws -> Expected {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: directory + "/expected.safetensors")))
        let headerCount = Int(integer(bytes[0..<8]))
        let header = try JSON(parsing: String(decoding: bytes[8..<8 + headerCount], as: UTF8.self))
        func data(_ name: String) throws -> [UInt8] {
            let offsets = (header[name]?["data_offsets"]?.array ?? []).compactMap(\.int)
            try #require(offsets.count == 2)
            return Array(bytes[8 + headerCount + offsets[0]..<8 + headerCount + offsets[1]])
        }
        func tokens(_ name: String) throws -> [Int32] {
            let data = try data(name)
            return stride(from: 0, to: data.count, by: 8).map { Int32(integer(data[$0..<$0 + 8])) }
        }
        let logits = try data("logits")
        return Expected(
            prompt: try tokens("prompt"),
            logits: stride(from: 0, to: logits.count, by: 4).map {
                Float(bitPattern: UInt32(integer(logits[$0..<$0 + 4])))
            }, greedy: try tokens("greedy"))
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

@Suite("parity with transformers")
struct ParityTests {
    static let pool = ThreadPool(threads: 2)

    /// Embeds tokens and runs them through the model after what the cache holds; the last rows' logits.
    func logits(
        _ model: Decoder, _ checkpoint: Checkpoint, _ tokens: [Int32], _ cache: KVCache,
        _ workspace: inout Workspace
    ) throws -> [Float] {
        let configuration = model.configuration
        let table = try checkpoint.tensor(
            configuration.embeddingName, shape: [configuration.vocabularySize, configuration.hiddenSize])
        var rows: [Float] = []
        for (i, token) in tokens.enumerated() {
            var row = try values(table, Int(token)).map { $0 * configuration.embeddingScale }
            if configuration.learnedPositions {
                let positions = try checkpoint.tensor(
                    configuration.positionsName,
                    shape: [configuration.maximumLength, configuration.hiddenSize])
                row = zip(row, try values(positions, cache.count + i)).map { $0 + $1 }
            }
            rows += row
        }
        var span = rows.mutableSpan
        try model.run(
            blocks: 0..<model.configuration.blockCount, on: &span,
            segments: [CacheSegment(cache: cache, position: cache.count, rows: tokens.count)],
            workspace: &workspace)
        return model.logits(rows.span, workspace: &workspace)
    }

    private func values(_ table: StoredTensor, _ index: Int) throws -> [Float] {
        var row = [Float](repeating: 0, count: table.shape[1])
        var span = row.mutableSpan
        table.row(index, into: &span)
        return row
    }

    @Test("logits and 48 greedy tokens are those of transformers in float32", arguments: ParityCase.all)
    func matches(_ parity: ParityCase) throws {
        try compare(parity.directory, with: parity.expected())
    }

    /// Compares logits and greedy tokens of a model with those of transformers.
    func compare(_ path: String, with reference: ParityCase.Expected) throws {
        let (prompt, expected, greedy) = (reference.prompt, reference.logits, reference.greedy)
        let checkpoint = try Checkpoint(directory: path)
        let model = try Decoder(checkpoint, format: .f32, pool: Self.pool)
        var workspace = Workspace()
        let cache = model.makeCache()
        let got = try logits(model, checkpoint, prompt, cache, &workspace)
        try #require(got.count == expected.count)
        let largest = expected.reduce(0) { max($0, abs($1)) }
        let difference = zip(got, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(difference <= 2e-4 * largest, "off by \(difference) of \(largest)")

        let vocabulary = model.configuration.vocabularySize
        var last = Array(got.suffix(vocabulary))
        var tokens: [Int32] = []
        while tokens.count < greedy.count {
            let likeliest = argmax(last.span)
            tokens.append(try #require(likeliest.map { Int32($0) }))
            last = try logits(model, checkpoint, [tokens[tokens.count - 1]], cache, &workspace)
        }
        #expect(tokens == greedy)
    }

    @Test("every family and option has a case")
    func cases() { #expect(ParityCase.all.count >= 30) }
}

import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXText
import Testing

/// What a worker must not hold: the prompt's text and its token ids, in any of the forms that a program would use.
@Suite("what leaks to a worker", .serialized)
struct LeakTests {
    static let bundled = TinyModel.folder.deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Models/ward-3m").path
    static let prompt = "Zebulon Quackenbush of Wetwang, 97 years old, is allergic to latex and moonlight."

    /// The ids as 16-, 32- and 64-bit numbers, a run of six from the middle.
    static func forms(of ids: [Int32]) -> [[UInt8]] {
        let run = ids[(ids.count / 2 - 3)..<(ids.count / 2 + 3)]
        func bytes<T: FixedWidthInteger>(_: T.Type) -> [UInt8] {
            run.flatMap { id in
                (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: Int(id) >> (8 * $0)) }
            }
        }
        return [bytes(Int16.self), bytes(Int32.self), bytes(Int64.self)]
    }

    static func contains(_ data: Data, _ pattern: [UInt8]) -> Bool { data.range(of: Data(pattern)) != nil }

    @Test(
        "neither the recording nor the worker's memory holds the prompt's text or ids",
        arguments: ["plain", "scx"])
    func recordingAndMemory(profile: String) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-leak-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let checkpoint = try Checkpoint(directory: Self.bundled)
        let tokenizer = try Tokenizer(directory: Self.bundled)
        let ids = tokenizer.encode(Self.prompt)
        try #require(ids.count > 12)
        let process = try WorkerProcess(
            program: WorkerProcessTests.worker,
            arguments: ["--model", Self.bundled, "--threads", "1", "--record", folder.path])
        let link = RemoteLink(
            digest: checkpoint.digest(), model: checkpoint.configuration, patience: .ownProcess
        ) { deadline throws(LinkError) in try process.connect(before: deadline) }
        let engine = Engine(
            forward: try Self.forward(profile, checkpoint, link), tokenizer: tokenizer,
            vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength)
        #expect(try answer(engine, greedy(ids, 8)).count == 8)

        let recording = try Data(contentsOf: folder.appending(path: "transcript.bin"))
        let lines = try Data(contentsOf: folder.appending(path: "transcript.jsonl"))
        let memory = try Self.memory(of: try #require(process.processIdentifier))
        // The rows themselves are there: with `plain` they tell the tokens, which is why it hides nothing.
        let hidden = checkpoint.configuration.hiddenSize
        var row = [Float](repeating: 0, count: hidden)
        var span = row.mutableSpan
        try checkpoint.tensor(
            checkpoint.configuration.embeddingName, shape: [checkpoint.configuration.vocabularySize, hidden]
        ).row(Int(ids[3]), into: &span)
        let rowBytes = row.flatMap { value in
            (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
        }
        #expect(Self.contains(recording, rowBytes) == (profile == "plain"))

        let secrets = [Array("Quackenbush".utf8), Array("moonlight".utf8)] + Self.forms(of: ids)
        for secret in secrets {
            #expect(!Self.contains(recording, secret) && !Self.contains(lines, secret))
            #expect(!memory.contains { Self.contains($0, secret) })
        }
        // The search would find them: this process holds both.
        let own = try Self.memory(of: ProcessInfo.processInfo.processIdentifier)
        #expect(own.contains { Self.contains($0, secrets[0]) })
        withExtendedLifetime(engine) {}
    }

    static func forward(
        _ profile: String, _ checkpoint: Checkpoint, _ link: any WorkerLink
    ) throws -> any ForwardPass {
        guard profile == "scx" else {
            return PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                link: link)
        }
        return try ScxForwardPass(
            checkpoint, format: .bf16, pool: ScxFixture.pool,
            profile: ModelProfile(
                measuring: checkpoint,
                tokens: ModelProfile.sampleTokens(vocabulary: checkpoint.configuration.vocabularySize),
                noiseScale: 8, pool: ScxFixture.pool),
            options: ScxOptions(), link: link)
    }

    /// The writable memory of a process, region by region.
    static func memory(of process: Int32) throws -> [Data] {
        let maps = try String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8)
        let file = try FileHandle(forReadingFrom: URL(filePath: "/proc/\(process)/mem"))
        var regions: [Data] = []
        for line in maps.split(separator: "\n") {
            let words = line.split(separator: " ")
            let bounds = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            guard bounds.count == 2, words[1].hasPrefix("rw"), bounds[1] - bounds[0] < 1 << 30 else {
                continue
            }
            try file.seek(toOffset: bounds[0])
            if let data = try? file.read(upToCount: Int(bounds[1] - bounds[0])) { regions.append(data) }
        }
        return regions
    }
}

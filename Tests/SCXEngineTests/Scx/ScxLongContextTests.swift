import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import Testing

/// Profile `scx` with a worker process, at a context of 32,768 tokens.
///
/// The model is random and so small that 32,768 tokens are computed in seconds; the worker's limit is as small, in
/// proportion, as 256 MiB are for a published model.
@Suite("profile scx: a context of 32,768 tokens", .serialized)
final class ScxLongContextTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)")
        .path
    private let model: ScxFixture
    private let process: WorkerProcess
    private let link: RemoteLink

    /// Length of the long prompt, which leaves room for an answer.
    private static let length = 32_760
    /// The worker's limit in MiB: rows of the prompt have 2 MiB, and its attention with the queries has 4 MiB.
    private static let mebibytes = 3

    init() throws {
        var configuration = try #require(SyntheticShape.all.first { $0.name == "tiny-llama" }).configuration
        (configuration.hiddenSize, configuration.feedForwardSize, configuration.blockCount) = (16, 32, 3)
        (configuration.headCount, configuration.keyValueHeadCount, configuration.headSize) = (2, 1, 8)
        configuration.rope.rotaryDimension = configuration.headSize
        configuration.slidingWindows = Array(repeating: nil, count: configuration.blockCount)
        configuration.maximumLength = 32_768
        try SyntheticCheckpoint.write(
            SyntheticShape(name: "long", configuration: configuration), to: folder, seed: 3, type: .f32,
            pool: ScxFixture.pool)
        model = try ScxFixture(directory: folder, weights: .f32)
        try #require(
            FileManager.default.isExecutableFile(atPath: WorkerProcessTests.worker),
            "\(WorkerProcessTests.worker) is not built")
        let process = try WorkerProcess(
            program: WorkerProcessTests.worker,
            arguments: [
                "--model", folder, "--weights", "f32", "--threads", "2", "--max-tensor", "\(Self.mebibytes)",
            ])
        self.process = process
        link = RemoteLink(
            digest: model.checkpoint.digest(), model: model.checkpoint.configuration, patience: .ownProcess
        ) { deadline throws(LinkError) in try process.connect(before: deadline) }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// What came of one session.
    private struct Outcome {
        var tokens: [Int32] = []
        var failure: (any Error)?
        var usage = SessionUsage()
    }

    /// Computes a long prompt and three short ones together.
    ///
    /// - Returns: The outcomes, the long one first, and the sessions' numbers in the order in which they ended.
    private func outcomes(_ engine: Engine, long: Int) throws -> (outcomes: [Outcome], ended: [Int]) {
        let prompts = [model.prompt(long)] + (0..<3).map { model.prompt(20, seed: $0) }
        let sessions = try prompts.map { try engine.submit(greedy($0, 4)) }
        var outcomes = sessions.map { _ in Outcome() }
        var ended: [Int] = []
        while !engine.isIdle {
            for event in try engine.step() {
                guard let i = sessions.firstIndex(of: event.session) else { continue }
                outcomes[i].tokens += event.token.map { [$0.id] } ?? []
                outcomes[i].usage = event.usage
                if let failure = event.failure { outcomes[i].failure = failure }
                if event.finished != nil { ended.append(i) }
            }
        }
        return (outcomes, ended)
    }

    @Test("a prompt whose attention is above the worker's limit is answered, and short ones before it")
    func beside() throws {
        let configuration = model.checkpoint.configuration
        let attention =
            4 * (configuration.headCount + 2 * configuration.keyValueHeadCount) * configuration.headSize
        #expect(Self.length * attention > Self.mebibytes << 20)
        let (found, ended) = try outcomes(
            model.scx(ScxEquivalenceTests.options(1, 1), link), long: Self.length)
        let (expected, _) = try outcomes(model.plain(), long: Self.length)
        #expect(link.largestTensor == Self.mebibytes << 20)
        for (found, expected) in zip(found, expected) {
            #expect(found.failure == nil)
            #expect(found.tokens == expected.tokens)
            #expect(found.tokens.count == 4)
            #expect(found.usage.rebuilds == 0)
        }
        #expect(ended.last == 0)
        #expect(link.traffic.connections == 1)
    }

    @Test("a prompt whose rows are above the worker's limit is refused by name, and others are answered")
    func refused() throws {
        // As many rows with twice the limit's bytes.
        let rowBytes = 4 * model.checkpoint.configuration.hiddenSize
        let small = try WorkerProcess(
            program: WorkerProcessTests.worker,
            arguments: ["--model", folder, "--weights", "f32", "--threads", "2", "--max-tensor", "1"])
        let link = RemoteLink(
            digest: model.checkpoint.digest(), model: model.checkpoint.configuration, patience: .ownProcess
        ) { deadline throws(LinkError) in try small.connect(before: deadline) }
        let (found, _) = try outcomes(
            model.scx(ScxEquivalenceTests.options(1, 1), link), long: (2 << 20) / rowBytes - 1_024)
        let reason = found[0].failure.map { "\($0)" } ?? ""
        #expect(reason.contains("MiB, the worker takes 1 (scx-worker --max-tensor)"))
        #expect(found[0].tokens.isEmpty)
        for short in found.dropFirst() {
            #expect(short.failure == nil && short.tokens.count == 4 && short.usage.rebuilds == 0)
        }
        #expect(link.traffic.connections == 1)
    }
}

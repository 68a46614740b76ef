import Foundation
import SCXInference
import Testing
import scx_lab

@Suite("Likeliest tokens of profiles, each after the same tokens", .enabled(if: isOptimized))
struct AgreementTests {
    /// Prompts of the bundled model with its own answers.
    static let windows = Result {
        let samples = try JSON(
            parsing: String(
                contentsOfFile: "\(AttackFixture.root)/Models/ward-3m/samples.json", encoding: .utf8))
        return (samples.array ?? samples["samples"]?.array ?? []).map { sample in
            ["prompt_ids", "greedy_ids"].flatMap { sample[$0]?.array ?? [] }.compactMap { $0.int }.map(
                Int32.init)
        }
    }

    @Test("sealed chooses as bf16 plain does in 99 of 100 positions, and int4 weights do not")
    func bundled() throws {
        let checkpoint = try Checkpoint(directory: "\(AttackFixture.root)/Models/ward-3m")
        let windows = try Self.windows.get()
        let ways = ["plain:bf16", "fixed-point", "sealed", "plain:int4"].compactMap { Agreement.Way($0) }
        let results = try Agreement(checkpoint, ways: ways, pool: AttackFixture.pool).measure(windows)
        #expect(results.map(\.name) == ["plain:bf16", "fixed-point", "sealed", "plain:int4"])
        for result in results { #expect(result.positions == windows.reduce(0) { $0 + $1.count }) }
        try #require(results.count == 4 && results[0].positions > 700)
        #expect(results[0].same == results[0].positions && results[0].error == 0)
        #expect(results[1].agreement >= 0.99)
        // Where they differ, the two tokens are nearly as likely.
        #expect(results[1].widestGap < 0.2)
        #expect(abs(results[1].perplexity / results[0].perplexity - 1) < 0.005)
        // The same bits as without pads.
        #expect(results[2].same == results[1].same && results[2].error == results[1].error)
        #expect(results[3].agreement < 0.99 && results[3].error > 2 * results[1].error)
    }

    @Test("a way to compute is read from its name, and nothing else is")
    func names() {
        for name in ["plain:f32", "plain:int8", "fixed-point", "sealed"] {
            #expect(Agreement.Way(name)?.name == name)
        }
        for name in ["plain", "plain:", "plain:int3", "sealed:int8", "scx", "", "fixed-point:"] {
            #expect(Agreement.Way(name) == nil, "\(name)")
        }
    }
}

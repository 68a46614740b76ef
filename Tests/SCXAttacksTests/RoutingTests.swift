import Foundation
import SCXAttacks
import SCXInference
import Testing
import scx_lab

@Suite("routing")
struct RoutingTests {
    @Test("the experts tell the tokens in profile plain, some in sealed with a cover, and none in sealed")
    func routing() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let pool = ThreadPool(threads: 2)
        let shape = try #require(SyntheticShape.all.first { $0.name == "small-qwen3-moe" })
        try SyntheticCheckpoint.write(shape, to: directory.path, seed: 3, type: .f32, pool: pool)
        let lab = RoutingLab(
            recorder: try SealedRecorder(Checkpoint(directory: directory.path), pool: pool), sessions: 3,
            tokens: 12)
        let plain = try lab.plain()
        #expect(plain.attacked == 36 && plain.first.value > 0.5 && plain.bits > 10)
        let some = try lab.sealed(cover: 6)
        #expect(some.attacked == 36 && some.ten.value > 0.2 && some.bits > 1 && some.bits < plain.bits)
        let none = try lab.sealed(cover: nil)
        // One of 512 tokens: three of 36 by chance happen in one of 20,000 runs; ten of 512: six in one of 15,000.
        #expect(
            none.attacked == 36 && none.first.value < 3.0 / 36 && none.ten.value < 6.0 / 36 && none.bits == 0)
    }
}

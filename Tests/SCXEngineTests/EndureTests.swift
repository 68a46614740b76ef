import Foundation
import SCXInference
import Testing

/// Small forms of the endurance runs whose figures are in `docs/performance.md`.
@Suite("endurance", .serialized)
struct EndureTests {
    private func endure(_ arguments: [String]) throws -> JSON {
        let result = try CommandTests().run("scx-lab", ["endure", "--json"] + arguments)
        #expect(result.status == 0, "\(result.error) \(result.output)")
        return try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    @Test("every answer is right while workers and the peer are killed")
    func workers() throws {
        let report = try endure([
            "--requests", "60", "--streams", "16", "--kills", "8", "--max-tokens", "12", "--seed", "3",
        ])
        #expect(report["right"] == 60 && report["wrong"] == 0 && report["lost"] == 0)
        let kills = (report["kills"]?["workers"]?.int ?? 0, report["kills"]?["peer"]?.int ?? 0)
        #expect(kills.0 > 0 && kills.1 > 0 && kills.0 + kills.1 == 8)
        #expect(report["refused_products"] == 0 && (report["pads"]?["peer"]?.int ?? 0) > 0)
        let memory = report["memory_bytes"]?.array?.compactMap { $0.int } ?? []
        #expect(memory.count == 3)
    }

    @Test("no pad is used twice when the trusted side is killed as well, with a bank of pads on disk")
    func trusted() throws {
        let report = try endure([
            "--requests", "60", "--streams", "16", "--kills", "9", "--max-tokens", "8", "--kill-trusted",
            "--record", "--bank-tokens", "200", "--seed", "5",
        ])
        #expect(report["right"] == 60)
        #expect((report["kills"]?["trusted"]?.int ?? 0) > 0 && (report["kills"]?["workers"]?.int ?? 0) > 0)
        #expect((report["retries"]?.int ?? 0) > 0 && (report["pads"]?["from_disk"]?.int ?? 0) > 0)
        // A prompt's and an answer's tokens pass all of the 21 sites, and each has a pad of its own at each of them.
        #expect((report["recorded"]?["rows"]?.int ?? 0) > 60 * 20 * 20)
        #expect(report["recorded"]?["repeated"] == 0)
    }

    @Test("what cannot be run is one line that names it")
    func mistakes() throws {
        for (arguments, name) in [
            (["--requests", "1"], "--requests 1"), (["--model", "/nowhere"], "/nowhere"),
            (["--folder", "/tmp"], "/tmp"), (["--streams", "0"], "--streams 0"),
        ] {
            let result = try CommandTests().run("scx-lab", ["endure"] + arguments)
            #expect(result.status != 0 && result.error.contains(name), "\(result.error)")
        }
    }
}

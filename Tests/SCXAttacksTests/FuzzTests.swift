import Foundation
import Testing
import scx_lab

@Suite("inputs at random")
struct FuzzTests {
    private static let checkout = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    /// A folder that is removed in the end.
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.appending(path: "fuzz-\(UUID().uuidString)").path
        init() throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Those that need no other process for each input.
    private static let inProcess: [FuzzReader] = FuzzReader.all.filter { $0 != .yaml && $0 != .http }

    @Test(
        "readers take or refuse their seeds, former findings and what is made of them", arguments: inProcess)
    func takesOrRefuses(reader: FuzzReader) throws {
        let folder = try Folder()
        let target = try reader.target(checkout: Self.checkout, folder: folder.path)
        #expect(!target.seeds.isEmpty)
        let former = "\(Self.checkout)/Tests/Fuzz/\(reader.rawValue)"
        let seeds = try FuzzFixtures.files(former, "")
        let journal = "\(folder.path)/journal"
        var run = FuzzRun(target, seeds: seeds, seed: 7, journal: try FuzzJournal(journal))
        let count = target.seeds.count + seeds.count + 100
        try run.run(until: .now + .seconds(86_400), count: count)
        #expect(FuzzJournal.read(journal).count == count)
    }

    @Test(
        "most seeds of a reader are taken, so that inputs made of them reach its depths", arguments: inProcess
    )
    func takesSeeds(reader: FuzzReader) throws {
        let folder = try Folder()
        var target = try reader.target(checkout: Self.checkout, folder: folder.path)
        var taken = 0
        for seed in target.seeds {
            do {
                try target.run(seed)
                taken += 1
            } catch {}
        }
        #expect(2 * taken >= target.seeds.count, "\(taken) of \(target.seeds.count)")
    }

    @Test("a reader that fails is found out, its input kept, and that input makes it fail again")
    func findsOut() throws {
        let folder = try Folder()
        let findings = "\(folder.path)/findings"
        let watch = FuzzWatch(
            .planted, checkout: Self.checkout, findings: findings, patience: .seconds(3_600), count: .max,
            mostFindings: 1)
        let result = try watch.run(for: .seconds(86_400), seed: 1)
        #expect(result.findings == 1)
        #expect(result.inputs > 1)
        let kept = try FuzzFixtures.files(findings, "")
        #expect(kept.count == 1)
        #expect(kept.first.map { FuzzFixtures.text($0).contains("minefield") } == true)
    }

    @Test("a seed gives the same inputs again, none longer than may be")
    func mutates() {
        let old = Array("{\"a\": [1, 22, 333]}".utf8)
        func inputs(_ seed: UInt64) -> [[UInt8]] {
            var mutator = Mutator(seed: seed, words: ["\"b\":"], longest: 100)
            return (0..<500).map { _ in mutator.mutated(old, [0, 1, 2]) }
        }
        let first = inputs(3)
        #expect(first == inputs(3))
        #expect(first != inputs(4))
        #expect(first.allSatisfy { $0.count <= 100 })
        #expect(Set(first).count > 300)
        #expect(first.contains { $0.count == 100 })
    }

    @Test("the journal holds the last input whole")
    func keepsLast() throws {
        let folder = try Folder()
        let path = "\(folder.path)/journal"
        #expect(FuzzJournal.read(path) == (0, []))
        let journal = try FuzzJournal(path)
        try journal.begin(Array(repeating: 7, count: 1_000))
        try journal.begin([1, 2, 3])
        #expect(FuzzJournal.read(path) == (2, [1, 2, 3]))
        #expect(throws: FuzzJournal.Failure.self) { _ = try FuzzJournal("\(folder.path)/none/journal") }
    }
}

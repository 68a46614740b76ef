import Foundation
import SCXAttacks
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Testing
import scx_lab

@Suite("rows under one pad, of several recordings")
struct NearRowsTests {
    /// Records sessions of profile `sealed` into a directory of their own.
    private func record(_ recorder: SealedRecorder, _ count: Int) throws -> (String, Transcript) {
        let directory = FileManager.default.temporaryDirectory.appending(path: "near-\(UUID().uuidString)")
            .path
        let prompts = (0..<count).map { seed in (0..<12).map { Int32(5 + 37 * $0 + seed) } }
        _ = try recorder.record(prompts, answer: 2, SealedOptions(), Recorder(directory: directory))
        return (directory, try Transcript(directory: directory))
    }

    @Test(
        "pads of different runs are far from each other, and each row of a recording that is read twice is found"
    )
    func several() throws {
        let checkpoint = try Checkpoint(directory: "\(AttackFixture.root)/Models/ward-3m")
        let recorder = try SealedRecorder(checkpoint, pool: AttackFixture.pool)
        let first = try record(recorder, 2)
        // The same prompts again: what is padded is equal, the pads are not.
        let second = try record(recorder, 2)
        defer {
            for directory in [first.0, second.0] { try? FileManager.default.removeItem(atPath: directory) }
        }
        var rows = NearRows()
        try rows.add(first.1)
        let count = rows.count
        try rows.add(second.1)
        #expect(count > 2 * 12 * 20 && rows.count == 2 * count)
        #expect(rows.repeated == 0 && rows.groups.isEmpty)
        // A worker that was restored from a copy would send these.
        try rows.add(first.1)
        #expect(rows.count == 3 * count && rows.repeated == count)
        #expect(rows.groups.count == count && rows.groups[0] == [0, 2 * count])
    }
}

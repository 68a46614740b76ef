import Foundation
import SCXInference
import Testing

/// Runs the program as a person does.
@Suite("pads on disk, by commands")
struct PadsCommandTests {
    private func scx(_ arguments: [String]) throws -> CommandTests.Result {
        try CommandTests().run("scx", arguments)
    }

    @Test("pads are prepared, counted, used once and refused when they are damaged")
    func bank() throws {
        let bank = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: bank) }
        func status() throws -> JSON {
            try JSON(parsing: scx(["pads", "status", "--bank", bank, "--json"]).output)
        }

        let missing = try scx(["pads", "status", "--bank", bank])
        #expect(missing.status == 1)
        #expect(
            missing.error
                == "Error: \(bank): there is no bank of pads here; 'scx pads fill --count N' makes one\n")
        let answer = ["generate", "--prompt-ids", "5,6,7", "--max-tokens", "8", "--json"]
        let sealed = answer + ["--profile", "sealed", "--worker", "inprocess", "--bank", bank]
        #expect(try scx(sealed).status == 1)
        #expect(!FileManager.default.fileExists(atPath: bank))

        for count in ["200", "300"] {
            let fill = try scx(["pads", "fill", "--count", count, "--bank", bank])
            #expect(fill.status == 0 && fill.output.contains("tokens   \(count)\n"), "\(fill.error)")
        }
        var found = try status()
        #expect(found["tokens"]?.int == 300 && found["burnt_batches"]?.int == 0)

        // The same tokens as without a worker, from pads of the bank.
        let result = try scx(sealed)
        let right = try scx(answer + ["--profile", "fixed-point"])
        func tokens(_ result: CommandTests.Result) throws -> [Int] {
            try JSON(parsing: result.output)["tokens"]?.array?.compactMap { $0.int } ?? []
        }
        #expect(try tokens(result).count == 8 && tokens(result) == tokens(right))
        found = try status()
        #expect((found["burnt_batches"]?.int ?? 0) >= 17 && (found["tokens"]?.int ?? 0) < 300)

        let file = try #require(
            FileManager.default.contentsOfDirectory(atPath: bank).filter { $0.hasSuffix(".pads") }.min())
        let handle = try FileHandle(forWritingTo: URL(filePath: "\(bank)/\(file)"))
        try handle.truncate(atOffset: 200)
        try handle.close()
        let damaged = try scx(sealed)
        #expect(try damaged.status == 0 && tokens(damaged) == tokens(right))
        #expect(damaged.error.contains("warning: \(bank)/\(file): has 200 bytes instead of "))
    }
}

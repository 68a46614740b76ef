import Foundation
import SCXInference
import Testing

/// Runs the program as a person does.
@Suite("pads on disk, by commands")
struct PadsCommandTests {
    private func scx(_ arguments: [String]) throws -> CommandTests.Result {
        try CommandTests().run("scx", arguments)
    }

    @Test("what is needed of the weights is kept, used by the next start, and refused under another key")
    func siteData() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let prompt = ["generate", "--prompt-ids", "5,6,7", "--max-tokens", "8", "--json"]
        let own = prompt + ["--worker", "inprocess", "--site-data", folder]
        func tokens(_ result: CommandTests.Result) throws -> [Int] {
            try JSON(parsing: result.output)["tokens"]?.array?.compactMap { $0.int } ?? []
        }
        let right = try tokens(scx(prompt + ["--profile", "fixed-point"]))
        let made = try scx(["models", "sites", "--site-data", folder])
        #expect(made.status == 0 && made.output.contains("sites    21, made of the weights in "))
        #expect(try scx(["models", "sites", "--site-data", folder]).output.contains("21, read back in "))
        let first = try scx(own)
        #expect(try first.errorLines.isEmpty && right.count == 8 && tokens(first) == right)
        let file = try #require(
            FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasSuffix(".sites") })
        let path = "\(folder)/\(file)"
        let content = try Data(contentsOf: URL(filePath: path))
        for more in [[], ["--profile", "fixed-point"]] {
            let again = try scx(own + more)
            #expect(try again.errorLines.isEmpty && tokens(again) == right)
        }
        #expect(try Data(contentsOf: URL(filePath: path)) == content)

        let handle = try FileHandle(forWritingTo: URL(filePath: path))
        try handle.truncate(atOffset: 1_000)
        try handle.close()
        let damaged = try scx(own)
        #expect(try tokens(damaged) == right && damaged.errorLines.count == 1)
        #expect(
            damaged.error.contains(
                "warning: \(path): has 1000 bytes instead of \(content.count); it is made anew"))
        #expect(try Data(contentsOf: URL(filePath: path)).count == content.count)

        try Data(repeating: 7, count: 32).write(to: URL(filePath: "\(folder)/site.key"))
        let refused = try scx(own)
        #expect(refused.status == 1 && refused.errorLines.count == 1)
        #expect(refused.error.contains("Error: \(path): is sealed under another key"))
        let plain = try scx(prompt + ["--profile", "plain", "--site-data", folder])
        #expect(plain.status != 0 && plain.error.contains("'--site-data'"))
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

    @Test("a limit on the size of files ends a fill, and a bank that was restored is refused")
    func limitAndBackup() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let (bank, backup) = ("\(folder)/bank", "\(folder)/backup")
        let program = CommandTests.folder.appending(path: "scx").path
        let fill = ["pads", "fill", "--count", "20", "--bank", bank]
        let limited = try CommandTests().run(
            "/bin/sh", ["-c", "ulimit -f 4; exec \"$0\" \"$@\"", program] + fill)
        #expect(limited.status == 1 && limited.error.contains("cannot write it: File too large"))
        #expect(try scx(fill).output.contains("tokens   20\n"))

        try FileManager.default.copyItem(atPath: bank, toPath: backup)
        let ask = ["generate", "--prompt-ids", "5,6,7", "--max-tokens", "2", "--worker", "inprocess"]
        let first = try scx(ask + ["--bank", bank])
        #expect(first.status == 0, "\(first.error)")
        try FileManager.default.removeItem(atPath: bank)
        try FileManager.default.copyItem(atPath: backup, toPath: bank)
        let refused = try scx(ask + ["--bank", bank])
        #expect(refused.status == 1 && refused.errorLines.count == 1)
        #expect(refused.error.contains("\(bank)/burnt: is not the one that was used last"))
    }
}

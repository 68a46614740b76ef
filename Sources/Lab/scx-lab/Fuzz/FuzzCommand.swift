import ArgumentParser
import CSCXCoverage
import Foundation
import SCXInference

extension FuzzReader: ExpressibleByArgument {}

/// Gives random inputs to every reader of bytes that others can send, for a given time.
struct FuzzCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fuzz",
        abstract: "Give every reader of foreign bytes inputs at random, and keep those that it fails at.",
        discussion: """
            Inputs are made of the project's fixtures, of the files under Tests/Fuzz/READER, which hold former findings, and \
            of each other. Each reader has a process, which may fail: its input is kept, and the next process goes on. A build \
            with the address sanitizer finds more, and in a build with coverage (Scripts/fuzz) inputs that go new ways \
            are built upon. The exit status is 1 when there was a finding.

            \(FuzzReader.all.map { "\($0.rawValue): \($0.summary)" }.joined(separator: "\n"))
            """)

    @Option(help: "Seconds for all readers together.")
    var seconds = 60

    @Option(parsing: .upToNextOption, help: "Which readers to try. (default: all)")
    var readers: [FuzzReader] = []

    @Option(help: "Where the project lies, with its fixtures and seeds.")
    var checkout = "."

    @Option(help: "Where inputs that readers fail at are kept.")
    var findings = "fuzz-findings"

    @Option(help: "Of the sequence of inputs; the same seed gives the same inputs. (default: at random)")
    var seed: UInt64?

    @Option(help: "Seconds that one input may take.")
    var patience = 20

    @Option(help: "Give the readers this file, and nothing else.")
    var input: String?

    // Options with which the command starts itself again, as the process that reads inputs and may crash.
    @Option(help: .hidden) var journal: String?
    @Option(help: .hidden) var count = Int.max

    func validate() throws {
        guard seconds > 0 else { throw ValidationError("--seconds must be positive") }
        guard patience > 0 else { throw ValidationError("--patience must be positive") }
        guard FileManager.default.fileExists(atPath: "\(checkout)/Tests/Fixtures") else {
            throw ValidationError(
                "--checkout: '\(checkout)' has no Tests/Fixtures: run this in the project's folder")
        }
    }

    func run() throws {
        if let journal {
            try runReader(journal)
        } else if let input {
            try replay(input)
        } else {
            try runAll()
        }
    }

    /// The seeds of a reader that are stored as files, in addition to those in its code.
    private func seeds(_ reader: FuzzReader) throws -> [[UInt8]] {
        try FuzzFixtures.files("\(checkout)/Tests/Fuzz/\(reader.rawValue)", "")
    }

    // MARK: The process that reads inputs and may crash

    private func runReader(_ path: String) throws {
        guard let reader = readers.first else { throw ValidationError("--journal needs --readers") }
        let folder = "\(path).files"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var run = FuzzRun(
            try reader.target(checkout: checkout, folder: folder), seeds: try seeds(reader), seed: seed ?? 1,
            journal: try FuzzJournal(path))
        try run.run(until: .now + .seconds(seconds), count: count)
    }

    private func replay(_ path: String) throws {
        let input = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-fuzz-\(UUID().uuidString)")
            .path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for reader in readers.isEmpty ? FuzzReader.all : readers {
            var target = try reader.target(checkout: checkout, folder: folder)
            do {
                try target.run(input)
                print("\(reader.rawValue): taken")
            } catch {
                print("\(reader.rawValue): refused: \(error)")
            }
        }
    }

    // MARK: The process that starts and watches it

    private func runAll() throws {
        let readers = readers.isEmpty ? FuzzReader.all : readers
        let seed = seed ?? UInt64.random(in: 0...(.max))
        print("seed \(seed), \(cscx_coverage_branches()) branches are counted")
        let each = max(1, seconds / readers.count)
        var found = 0
        for reader in readers {
            let watch = FuzzWatch(
                reader, checkout: checkout, findings: findings, patience: .seconds(patience), count: count)
            let result = try watch.run(for: .seconds(each), seed: seed)
            found += result.findings
            print(
                "\(reader.rawValue.padding(toLength: 14, withPad: " ", startingAt: 0))"
                    + "\(result.inputs) inputs, \(result.findings) findings")
        }
        guard found == 0 else {
            print("\(found) inputs were kept under '\(findings)'")
            throw ExitCode.failure
        }
    }
}

import Foundation

/// Starts processes that give inputs to one reader, and keeps each input at which a process crashes or hangs.
package struct FuzzWatch {
    private let reader: FuzzReader
    private let checkout: String
    private let findings: String
    private let patience: Duration
    private let count: Int
    private let mostFindings: Int

    /// - Parameters:
    ///   - reader: The reader.
    ///   - checkout: The project's folder.
    ///   - findings: The folder for inputs at which a process failed; it is made when there is one.
    ///   - patience: The longest time that one input may take.
    ///   - count: The most inputs that one process reads.
    ///   - mostFindings: The number of findings after which to stop.
    package init(
        _ reader: FuzzReader, checkout: String, findings: String, patience: Duration, count: Int,
        mostFindings: Int = 10
    ) {
        (self.reader, self.checkout, self.findings) = (reader, checkout, findings)
        (self.patience, self.count, self.mostFindings) = (patience, count, mostFindings)
    }

    /// Runs such processes, one after the other, until one ends without a finding, the time is over, or there are too
    /// many findings.
    ///
    /// - Parameters:
    ///   - time: How long to run.
    ///   - seed: Seed of the random numbers by which inputs are changed.
    /// - Returns: How many inputs were read, and how many of them are findings.
    /// - Throws: An error when a process cannot be started, or an input cannot be kept.
    package func run(for time: Duration, seed: UInt64) throws -> (inputs: Int, findings: Int) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-fuzz-\(UUID().uuidString)")
            .path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let journal = "\(folder)/journal"
        let end = ContinuousClock.now + time
        var (inputs, found) = (0, 0)
        repeat {
            try? FileManager.default.removeItem(atPath: journal)
            let left = max(1, Int((end - .now) / .seconds(1)))
            let process = LabProcess(
                "\(reader.rawValue)-\(found)", program: "scx-lab",
                arguments: [
                    "fuzz", "--readers", reader.rawValue, "--checkout", checkout, "--journal", journal,
                    "--seconds", "\(left)", "--seed", "\(seed &+ UInt64(found))", "--count", "\(count)",
                ],
                // The last line of the output says where the process crashed; a backtrace would fill the report.
                environment: ["SWIFT_BACKTRACE": "enable=no"], logs: folder)
            try process.start()
            let why = watch(process, journal)
            let last = FuzzJournal.read(journal)
            inputs += last.count
            guard let why else { return (inputs, found) }
            guard last.count > 0 else {
                throw FuzzJournal.Failure(
                    description: "'\(reader.rawValue)' cannot be tried: \(process.lastLines)")
            }
            found += 1
            try keep(last.input, why, process.lastLines, number: found, seed: seed)
        } while ContinuousClock.now < end && found < mostFindings
        return (inputs, found)
    }

    /// Waits until the process ends, and kills it when one input takes too long.
    ///
    /// - Returns: Why the last input is a finding; nil when the process ended with status 0.
    private func watch(_ process: LabProcess, _ journal: String) -> String? {
        var seen = 0
        var since = ContinuousClock.now
        while process.number != nil {
            Thread.sleep(forTimeInterval: 0.05)
            let count = FuzzJournal.read(journal).count
            if count != seen { (seen, since) = (count, .now) }
            // Before its first input a process reads fixtures, which takes time under a sanitizer.
            if ContinuousClock.now - since > (seen == 0 ? patience * 10 : patience) {
                process.kill()
                return "took longer than \(patience)"
            }
        }
        switch process.status {
        case 0: return nil
        case FuzzJournal.memoryStatus: return "took too much memory"
        case let status: return status < 0 ? "ended by a signal" : "ended with status \(status)"
        }
    }

    private func keep(_ input: [UInt8], _ why: String, _ lines: String, number: Int, seed: UInt64) throws {
        try FileManager.default.createDirectory(atPath: findings, withIntermediateDirectories: true)
        let path = "\(findings)/\(reader.rawValue)-\(seed)-\(number)"
        try Data(input).write(to: URL(filePath: path))
        print("\(reader.rawValue): '\(path)', \(input.count) bytes: \(why): \(lines)")
    }
}

import Foundation
import SCXAttestation
import Synchronization

/// A directory that answers as the kernel's `tsm/report` does, with reports that a test makes.
///
/// A thread looks for new directories, makes their files, and puts a report beside what was asked.
final class FakeKernel: Sendable {
    let directory: URL
    private let ends = Mutex(false)
    private let questions = Mutex<[[UInt8]]>([])

    /// What the kernel does otherwise than well.
    struct Fault: OptionSet, Sendable {
        let rawValue: Int
        static let otherProvider = Fault(rawValue: 1)
        static let otherGeneration = Fault(rawValue: 2)
        static let shortReport = Fault(rawValue: 4)
        static let longReport = Fault(rawValue: 8)
    }

    /// - Parameters:
    ///   - fault: What it does otherwise than well.
    ///   - table: The host's table of certificates.
    ///   - report: A report with this report data.
    /// - Throws: An error of the file system.
    init(
        fault: Fault = [], table: [UInt8]? = nil,
        report: @escaping @Sendable (_ reportData: [UInt8]) throws -> [UInt8]
    ) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "tsm-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        Thread { [self] in
            while !ends.withLock({ $0 }) {
                for name in (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? [] {
                    answer(directory.appending(path: name), fault, table, report)
                }
                usleep(500)
            }
            try? FileManager.default.removeItem(at: directory)
        }.start()
    }

    /// What was asked so far.
    var asked: [[UInt8]] { questions.withLock { $0 } }

    func end() { ends.withLock { $0 = true } }

    private func answer(
        _ entry: URL, _ fault: Fault, _ table: [UInt8]?, _ report: ([UInt8]) throws -> [UInt8]
    ) {
        func put(_ name: String, _ bytes: [UInt8]) {
            // A file is there with all that it holds, or not at all.
            try? Data(bytes).write(to: entry.appending(path: name), options: .atomic)
        }
        let input = entry.appending(path: "inblob")
        guard let data = try? Data(contentsOf: input) else {
            _ = FileManager.default.createFile(atPath: input.path, contents: nil)
            return
        }
        guard data.count == 64, !FileManager.default.fileExists(atPath: entry.appending(path: "outblob").path)
        else { return }
        guard var bytes = try? report(Array(data)) else { return }
        questions.withLock { $0.append(Array(data)) }
        if fault.contains(.shortReport) { bytes.removeLast() }
        if fault.contains(.longReport) { bytes += [UInt8](repeating: 0, count: UnverifiedEvidence.limit) }
        put("provider", Array((fault.contains(.otherProvider) ? "arm_cca\n" : "sev_guest\n").utf8))
        put("generation", Array((fault.contains(.otherGeneration) ? "2\n" : "1\n").utf8))
        if let table { put("auxblob", table) }
        put("outblob", bytes)
    }
}

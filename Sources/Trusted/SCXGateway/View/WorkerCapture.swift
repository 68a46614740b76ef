import Foundation
import SCXAttacks
import SCXInference
import SCXLink
package import SCXProfiles

/// What crossed the link to the worker for one answer, and the prompt and answer that the attacks try to find from it.
package struct WorkerCapture: Sendable {
    package var profile: String
    package var prompt: [Int32]
    package var answer: [Int32]
    package var exchanges: [CapturedExchange]
    /// False when the record became too large, so that later exchanges are missing.
    package var isComplete: Bool

    package init(
        profile: String, prompt: [Int32], answer: [Int32], exchanges: [CapturedExchange],
        isComplete: Bool = true
    ) {
        (self.profile, self.prompt, self.answer) = (profile, prompt, answer)
        (self.exchanges, self.isComplete) = (exchanges, isComplete)
    }

    var truth: [Int32] { prompt + answer }

    /// The exchanges as the laboratory reads them: as a recording of the worker.
    ///
    /// The recording lies in a directory of its own that nobody else may enter, in memory where the system has such a
    /// place, and is removed before this returns: open files stay readable.
    ///
    /// - Throws: ``WorkerViewError``.
    func views(_ configuration: DecoderConfiguration) throws(WorkerViewError) -> Views {
        let files = FileManager.default
        let memory = "/dev/shm"
        let place =
            files.isWritableFile(atPath: memory)
            ? URL(filePath: memory) : files.temporaryDirectory
        let directory = place.appending(path: "scx-view-\(UUID().uuidString)")
        do {
            try files.createDirectory(
                at: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        } catch { throw .system("a directory for the recording cannot be made") }
        defer { try? files.removeItem(at: directory) }
        do { try write(to: directory) } catch { throw .system("the recording cannot be written") }
        do throws(AttackError) {
            return try Views(directory: directory.path, configuration: configuration)
        } catch { throw .unreadable("\(error)") }
    }

    private func write(to directory: URL) throws {
        var lines = Transcript.Start(unixMicroseconds: 0, offset: 0).line + "\n"
        var tensors = Data()
        func add(_ message: Message, _ direction: TranscriptEntry.Direction, at time: Duration) {
            let entry = TranscriptEntry(
                message, direction: direction, connection: 1,
                microseconds: max(0, Int(time / .microseconds(1))),
                offset: tensors.count)
            lines += entry.line + "\n"
            switch message.tensor {
            case .none: break
            case .floats(let values): unsafe values.withUnsafeBytes { unsafe tensors.append(contentsOf: $0) }
            case .words(let values): unsafe values.withUnsafeBytes { unsafe tensors.append(contentsOf: $0) }
            }
        }
        for (index, exchange) in exchanges.enumerated() {
            let number = UInt64(index + 1)
            add(exchange.request.message(number: number), .received, at: exchange.start)
            add(
                exchange.answer.message(to: exchange.request.kind, number: number), .sent,
                at: exchange.start + exchange.duration)
        }
        try tensors.write(to: directory.appending(path: "transcript.bin"))
        try Data(lines.utf8).write(to: directory.appending(path: "transcript.jsonl"))
    }
}

/// Why there is no view of an answer.
///
/// Texts name messages and sizes.
package enum WorkerViewError: Error, Equatable, Sendable, CustomStringConvertible {
    case system(String)
    case unreadable(String)
    case model(String)

    package var description: String {
        switch self {
        case .system(let reason), .unreadable(let reason), .model(let reason): reason
        }
    }
}

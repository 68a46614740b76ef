import Foundation
import SCX

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A worker process that a test can stop, so that nothing is computed until it lets it go on.
///
/// A script writes the process's number to a file before it becomes `scx-worker`.
struct WorkerUnderControl {
    private let folder: URL
    private var script: URL { folder.appending(path: "worker") }

    /// The `scx-worker` beside the tests.
    static let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appending(path: "scx-worker").path

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "scx-library-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try "#!/bin/sh\necho $$ > \"$0.pid\"\nexec \"\(Self.program)\" \"$@\"\n".write(
            to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: script.path)
    }

    var place: WorkerPlace { .process(program: script.path) }

    private func process() throws -> pid_t {
        let text = try String(contentsOf: folder.appending(path: "worker.pid"), encoding: .utf8)
        guard let process = pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw CocoaError(.fileReadCorruptFile)
        }
        return process
    }

    /// Stops the process, and waits until all of it stands.
    func stop() throws {
        let process = try process()
        kill(process, SIGSTOP)
        // The state follows the name, which is in parentheses.
        while try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
            .split(separator: ")").last?.hasPrefix(" T") == false
        { usleep(1000) }
    }

    func goOn() throws { kill(try process(), SIGCONT) }

    func remove() {
        try? goOn()
        try? FileManager.default.removeItem(at: folder)
    }
}

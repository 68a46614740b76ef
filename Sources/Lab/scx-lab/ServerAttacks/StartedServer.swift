import ArgumentParser
import CSCXSystem
import Foundation
import SCXProfiles

/// A server that this program starts, on a free port of this machine.
///
/// The server ends with this object, and also when a signal ends this program; on Linux even when it is SIGKILL.
final class StartedServer {
    private let process = Process()
    private let output = Pipe()
    let port: Int

    /// Starts `scx serve` with the `scx` that lies in this program's folder.
    ///
    /// - Parameters:
    ///   - model: The model's directory.
    ///   - arguments: More arguments for the server.
    /// - Throws: `ValidationError` when the server does not start.
    init(model: String, arguments: [String]) throws {
        process.executableURL = URL(filePath: "\(executableFolder())/scx-lab")
        process.arguments =
            ["run-with-parent", "\(getpid())", "\(executableFolder())/scx"]
            + ["serve", "--model", model, "--port", "0", "--no-page"] + arguments
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        do { try process.run() } catch {
            throw ValidationError("'--start': cannot run \(executableFolder())/scx; build it first.")
        }
        cscx_end_together(process.processIdentifier)
        var text = ""
        while !text.contains("  profile "), case let data = output.fileHandleForReading.availableData,
            !data.isEmpty
        { text += String(decoding: data, as: UTF8.self) }
        guard let port = text.firstMatch(of: /http:\/\/127\.0\.0\.1:(\d+)/).flatMap({ Int($0.1) }) else {
            cscx_end_together(0)
            process.terminate()
            throw ValidationError("'--start': scx serve --model \(model) does not begin to serve.")
        }
        self.port = port
    }

    var isRunning: Bool { process.isRunning }

    deinit {
        cscx_end_together(0)
        process.terminate()
        Thread.sleep(forTimeInterval: 0.5)
        // The second signal ends the server at once.
        process.terminate()
    }
}

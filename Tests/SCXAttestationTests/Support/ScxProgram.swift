import Foundation
import Testing

/// Runs `scx` as a person does.
///
/// The program lies beside the test bundle.
struct ScxProgram {
    static let url = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "scx")

    /// What a run left.
    struct Result {
        let status: Int32
        let output: String
        let error: String
    }

    /// A process that is not started yet.
    static func process(_ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = url
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(["ASAN_OPTIONS": "detect_leaks=0"])
        { $1 }
        return process
    }

    /// Runs the program to its end, which must be no crash.
    static func run(_ arguments: [String]) throws -> Result {
        let process = process(arguments)
        let (output, error) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        try process.run()
        // Both are a few kilobytes, which a pipe holds.
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let errors = error.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit, "it crashed")
        return Result(
            status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            error: String(decoding: errors, as: UTF8.self))
    }

    /// The same on a thread of its own, so that servers of this process can answer it.
    static func runBeside(_ arguments: [String]) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Swift.Result { try run(arguments) }) }
        }
    }
}

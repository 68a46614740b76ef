import Foundation
import SCXGateway
import SCXInference
import Testing

/// Runs `scx serve` as a person does.
@Suite("scx serve")
struct ServeProcessTests {
    /// The programs lie beside the test bundle.
    static let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "scx")
    static let model = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Models/ward-3m").path

    /// A running server.
    final class Server: @unchecked Sendable {
        let process = Process()
        private let output = Pipe()
        private let errors = Pipe()
        /// What it printed before it served.
        let greeting: String
        let port: Int

        init(_ arguments: [String], environment: [String: String] = [:]) throws {
            process.executableURL = ServeProcessTests.program
            process.arguments = ["serve", "--model", ServeProcessTests.model] + arguments
            process.environment = ProcessInfo.processInfo.environment.merging(
                environment.merging(["ASAN_OPTIONS": "detect_leaks=0"]) { $1 }
            ) { $1 }
            process.standardOutput = output
            process.standardError = errors
            try process.run()
            var text = ""
            while !text.contains("\n  profile "), case let data = output.fileHandleForReading.availableData,
                !data.isEmpty
            { text += String(decoding: data, as: UTF8.self) }
            greeting = text
            port = text.firstMatch(of: /:(\d+)/).flatMap { Int($0.1) } ?? 0
        }

        /// What it says on standard error, once it has ended.
        func end() -> String {
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            return text
        }

        deinit { process.terminate() }
    }

    @Test("flags win over the environment, and that over the file; SIGTERM lets an answer end")
    func configurationAndDrain() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString).yaml")
        try Data(
            "port: 1\nmax-running: 3\nweights: f32\nlog-json: true\nserved-model-name: [a, other]\n".utf8
        ).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try await off {
            let server = try Server(
                ["--config", file.path, "--port", "0"],
                environment: ["SCX_PORT": "2", "SCX_WEIGHTS": "int8", "SCX_WORKER": "inprocess"])
            #expect(server.port > 2)
            #expect(server.greeting.contains("ward-3m, int8"))
            // It would write texts and keys to disk if it dumped its memory.
            if let limits = try? String(
                contentsOfFile: "/proc/\(server.process.processIdentifier)/limits", encoding: .utf8)
            {
                #expect(limits.contains(#/Max core file size +0 +0 /#))
            }
            #expect(server.greeting.contains("in this process"))
            #expect(server.greeting.contains("curl http://127.0.0.1:\(server.port)/v1"))
            #expect(server.greeting.contains("owners   pads are multiplied on this side alone"))
            #expect(server.greeting.contains("sealed   uniform integers modulo 2³² under one-time pads"))

            let connection = try HTTPConnection(port: server.port)
            let body =
                #"{"messages": [{"role": "user", "content": "Hello"}], "ignore_eos": true, "model": "other", "#
                + #""max_tokens": 400, "stream": true}"#
            connection.request("POST", "/v1/chat/completions", body: Array(body.utf8))
            let status = try connection.line()
            #expect(status.contains("200"))
            server.process.terminate()
            var lines: [String] = []
            while let line = try? connection.line() {
                lines.append(line)
                if line.contains("[DONE]") { break }
            }
            #expect(lines.last?.contains("[DONE]") == true)
            #expect(lines.count > 400)
            let log = server.end()
            #expect(server.process.terminationStatus == 0)
            #expect(log.split(separator: "\n").allSatisfy { (try? JSON(parsing: String($0))) != nil })
            #expect(log.contains("\"ended\""))
        }
    }

    @Test("a second signal ends the server at once, though the first leaves it time")
    func secondSignal() async throws {
        try await off {
            let server = try Server(["--worker", "inprocess", "--port", "0", "--drain", "3600"])
            let number = server.process.processIdentifier
            // Both signals are there when the process goes on.
            kill(number, SIGSTOP)
            while case let state = try String(contentsOfFile: "/proc/\(number)/stat", encoding: .utf8),
                !state.contains(") T ")
            { usleep(1000) }
            for signal in [SIGTERM, SIGINT, SIGCONT] { kill(number, signal) }
            _ = server.end()
            #expect([128 + SIGTERM, 128 + SIGINT].contains(server.process.terminationStatus))
        }
    }

    @Test("a program that hangs ends some time after the signal")
    func hanging() async {
        await #expect(processExitsWith: .exitCode(128 + SIGTERM)) {
            EndingWatch.start(drain: .zero, grace: .milliseconds(10)) {
                // Nobody ends in good order.
                while true { usleep(1_000_000) }
            }
            kill(getpid(), SIGTERM)
            while true { usleep(1_000_000) }
        }
    }

    @Test("what cannot be is one line that names the flag or file")
    func mistakes() async throws {
        let keys = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID().uuidString)")
        try Data("ann 0123456789abcdef\n".utf8).write(to: keys)
        defer { try? FileManager.default.removeItem(at: keys) }
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: keys.path)
        let cases: [([String], [String: String], String)] = [
            (["--host", "0.0.0.0"], [:], "--https-cert"), (["--port", "70000"], [:], "--port 70000"),
            (["--api-keys", keys.path], [:], "chmod 600"), (["--api-keys", "/none"], [:], "/none"),
            (["--config", "/none.yaml"], [:], "/none.yaml"), ([], ["SCX_INSECURE": "perhaps"], "insecure"),
            (["--https-cert", "a.pem"], [:], "--https-key"), (["--session-key", "k"], [:], "--session-dir"),
            (["--https-cert", "/none.pem", "--https-key", "/none.key"], [:], "/none.pem"),
            (["--https-cert", keys.path, "--https-key", keys.path], [:], "chmod 600"),
            ([], ["SCX_MAX_RUNNING": "0"], "--max-running 0"),
        ]
        try await off {
            for (arguments, environment, word) in cases {
                let server = try Server(
                    ["--worker", "inprocess", "--port", "0"] + arguments, environment: environment)
                let errors = server.end()
                #expect(server.process.terminationStatus != 0)
                let line = errors.split(separator: "\n").first { $0.hasPrefix("Error: ") } ?? ""
                #expect(line.contains(word), "\(errors)")
            }
        }
    }
}

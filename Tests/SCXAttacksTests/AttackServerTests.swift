import Foundation
import Testing

#if os(Linux)
    @Suite("attack-server")
    struct AttackServerTests {
        private static let programs = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent()
        private static let model = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Models/ward-3m").path

        /// The fields of `/proc/PID/stat` from the process's name on, which is the first; nil when there is no process.
        private static func fields(_ process: Int32) -> [Substring]? {
            guard let line = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
                let open = line.firstIndex(of: "("), let end = line.lastIndex(of: ")"), open < end
            else { return nil }
            return [line[line.index(after: open)..<end]]
                + line[line.index(after: end)...].split(separator: " ")
        }

        /// The server that a process has started; nil before.
        private static func server(of parent: Int32) -> Int32? {
            let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
            return all.compactMap { Int32($0) }.first { process in
                guard let fields = fields(process), fields.count > 2 else { return false }
                return fields[0] == "scx" && Int32(fields[2]) == parent
            }
        }

        @Test(
            "leaves no server behind when it is ended from outside",
            arguments: [
                SIGTERM, SIGINT, SIGHUP, SIGKILL,
            ])
        func ended(signal: Int32) throws {
            let process = Process()
            process.executableURL = Self.programs.appending(path: "scx-lab")
            process.arguments = [
                "attack-server", "--start", "--model", Self.model, "--seconds", "600",
                "--serve=--profile plain --worker inprocess",
            ]
            process.environment = ProcessInfo.processInfo.environment.merging([
                "ASAN_OPTIONS": "detect_leaks=0"
            ]) { $1 }
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            var found: Int32?
            while found == nil, process.isRunning {
                found = Self.server(of: process.processIdentifier)
                usleep(10_000)
            }
            let server = try #require(found)
            kill(process.processIdentifier, signal)
            process.waitUntilExit()
            // Ended is also a process that nobody has waited for (Z), or that is just going (X).
            while let fields = Self.fields(server), fields[0] == "scx", !["Z", "X"].contains(fields[1]) {
                usleep(10_000)
            }
            #expect(process.terminationReason == .uncaughtSignal)
        }
    }
#endif

import Foundation
import SCXInference
import SCXText
import Testing

#if os(Linux)
    /// What is left of conversations in the memory of `scx serve`, as one who may read all memory finds it.
    @Suite("what stays in memory", .serialized)
    struct MemoryTests {
        /// Whether this process may read another's memory although that forbids dumps, and memory is erased when freed:
        /// sanitizers have allocators of their own.
        private static let canTell: Bool = {
            let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
            let rights = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }?.split(
                separator: "\t"
            ).last
            // CAP_SYS_PTRACE
            guard let rights, let bits = UInt64(rights, radix: 16), bits & 1 << 19 != 0 else { return false }
            let functions: [String] = ["__asan_init", "__tsan_init"]
            return functions.allSatisfy { (name: String) in unsafe dlsym(nil, name) == nil }
        }()

        /// A word of no model's vocabulary and of no other test.
        private static let marker = "Quixotzebrafjordwumple"
        private static let text = "\(marker) wandered over 7431 hills to the red clinic"

        /// Bytes to look for, by what they are.
        private struct Traces {
            var all: [(name: String, bytes: [UInt8])] = []

            init() throws {
                all.append(("the prompt's text", Array(marker.utf8)))
                let tokenizer = try Tokenizer(directory: ServeProcessTests.model)
                // Without the ends, which may be joined with what stands beside them.
                let tokens = tokenizer.encode(text, addSpecialTokens: false).dropFirst().dropLast().prefix(8)
                try #require(tokens.count == 8)
                all.append(("tokens of 32 bits", Self.bytes(tokens.map { $0 })))
                all.append(("tokens of 64 bits", Self.bytes(tokens.map { Int($0) })))
            }

            private static func bytes<Value: FixedWidthInteger>(_ values: [Value]) -> [UInt8] {
                values.flatMap { value in
                    (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
                }
            }
        }

        /// Which traces the writable memory of a process holds, with the mapping that has each.
        private static func found(_ traces: Traces, in process: Int32) throws -> [String] {
            let maps = try String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8)
            let memory = unsafe open("/proc/\(process)/mem", O_RDONLY | O_CLOEXEC)
            guard memory >= 0 else { throw CocoaError(.fileReadNoPermission) }
            defer { close(memory) }
            var found: [String] = []
            let overlap = traces.all.reduce(0) { max($0, $1.bytes.count) }
            var part = [UInt8](repeating: 0, count: 4 << 20)
            for line in maps.split(separator: "\n") {
                let words = line.split(separator: " ", omittingEmptySubsequences: true)
                let ends = words[0].split(separator: "-").compactMap { Int($0, radix: 16) }
                guard words[1].hasPrefix("rw"), ends.count == 2 else { continue }
                var at = ends[0]
                while at < ends[1] {
                    let count = unsafe part.withUnsafeMutableBytes {
                        unsafe pread(memory, $0.baseAddress, min($0.count, ends[1] - at), off_t(at))
                    }
                    // What cannot be read, as a device's memory, is no memory of texts.
                    guard count > 0 else { break }
                    for trace in traces.all where contains(part, count, trace.bytes) {
                        found.append("\(trace.name) in \(line)")
                    }
                    guard at + count < ends[1], count > overlap else { break }
                    at += count - overlap
                }
            }
            return found
        }

        private static func contains(_ bytes: [UInt8], _ count: Int, _ trace: [UInt8]) -> Bool {
            unsafe bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress, let first = trace.first else { return false }
                var at = 0
                while count - at >= trace.count,
                    let next = unsafe memchr(start + at, Int32(first), count - at - trace.count + 1)
                {
                    at = unsafe UnsafeRawPointer(next) - start
                    // Nearly all places differ in the second byte.
                    if trace.indices.allSatisfy({ unsafe bytes[at + $0] == trace[$0] }) { return true }
                    at += 1
                }
                return false
            }
        }

        /// Asks a server, by each of the interfaces, about the marked text.
        ///
        /// - Returns: The text of one answer.
        private static func talk(_ port: Int) throws -> String {
            let chat = #"{"messages": [{"role": "user", "content": "\#(text)"}], "max_tokens": 24"#
            var answer = ""
            for (path, body) in [
                ("/v1/chat/completions", chat + "}"),
                ("/v1/chat/completions", chat + #", "stream": true}"#),
                ("/v1/chat/completions", chat + #", "stop": ["\#(marker)"], "logprobs": true}"#),
                ("/v1/messages", chat + "}"),
                ("/v1/responses", #"{"input": "\#(text)", "store": false, "max_output_tokens": 24}"#),
                ("/v1/completions", #"{"prompt": "\#(text)", "max_tokens": 8, "echo": true}"#),
                ("/v1/chat/completions", chat + #", "no such field: \#(marker)"#),
            ] {
                let connection = try HTTPConnection(port: port)
                connection.request("POST", path, ["Content-Type": "application/json"], body: Array(body.utf8))
                let reply = try connection.reply()
                #expect((reply.status == 200) == !body.contains("no such field"), "\(path): \(reply.text)")
                if answer.isEmpty { answer = reply.answer ?? "" }
            }
            return answer
        }

        /// Waits until nothing is found, since a server lets go of a conversation some moments after its last answer.
        private static func expectNothing(_ traces: Traces, of server: ServeProcessTests.Server) throws {
            var found: [String] = []
            for _ in 0..<600 {
                found = try Self.found(traces, in: server.process.processIdentifier)
                if found.isEmpty { return }
                usleep(500_000)
            }
            Issue.record("left of conversations:\n\(found.joined(separator: "\n"))")
        }

        @Test(
            "of conversations that are over nothing is left, neither text nor tokens",
            .enabled(if: canTell, "needs the right to read other processes' memory, and no sanitizer"))
        func over() async throws {
            try await off {
                let server = try ServeProcessTests.Server([
                    "--port", "0", "--worker", "inprocess", "--max-kept", "0", "--idle", "1",
                ])
                var traces = try Traces()
                let answer = try Self.talk(server.port)
                #expect(answer.utf8.count > 20)
                traces.all.append(("the answer's text", Array(answer.utf8.prefix(32))))
                try Self.expectNothing(traces, of: server)
            }
        }

        @Test(
            "of conversations that wait on disk nothing is left, and they go on from there",
            .enabled(if: canTell, "needs the right to read other processes' memory, and no sanitizer"))
        func sealed() async throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: folder) }
            try await off {
                let traces = try Traces()
                func serve(_ more: [String]) throws -> ServeProcessTests.Server {
                    try ServeProcessTests.Server(["--port", "0", "--worker", "inprocess"] + more)
                }
                // Shows that the search finds what is there: a conversation that may go on is kept in memory.
                let other = try serve([])
                _ = try Self.talk(other.port)
                let kept = try Self.found(traces, in: other.process.processIdentifier)
                #expect(kept.contains { $0.hasPrefix("tokens of 32 bits") })

                let server = try serve(["--session-dir", folder.path, "--seal-after", "1"])
                let answer = try Self.talk(server.port)
                try Self.expectNothing(traces, of: server)
                let body = JSON.object([
                    .init(
                        "messages",
                        [
                            ["role": "user", "content": .string(Self.text)],
                            ["role": "assistant", "content": .string(answer)],
                            ["role": "user", "content": "And then?"],
                        ]), .init("max_tokens", 4),
                ])
                let connection = try HTTPConnection(port: server.port)
                connection.request(
                    "POST", "/v1/chat/completions", ["Content-Type": "application/json"],
                    body: Array(body.text.utf8))
                #expect(try connection.reply().cachedTokens ?? 0 > 0)
            }
        }
    }
#endif

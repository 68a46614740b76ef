import Foundation
import SCXInference
import SCXLink
import SCXWorker
import Synchronization
import Testing

/// `scx-lab conformance` on workers that keep the protocol, and on workers that each break it in one way.
@Suite("conformance", .serialized, .timeLimit(.minutes(60)))
struct ConformanceTests {
    private static let fixtures = TinyModel.folder.deletingLastPathComponent()

    /// What the command said.
    private struct Report {
        let passed: Set<Int>
        let failed: Set<Int>
        let skipped: Set<Int>
        let text: String

        init(_ arguments: [String], fails: Bool) throws {
            let result = try CommandTests().run("scx-lab", ["conformance", "--json"] + arguments)
            #expect(result.status == (fails ? 1 : 0), "\(result.error) \(result.output)")
            let json = try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))
            func numbers(_ word: String) -> Set<Int> {
                Set(
                    (json["checks"]?.array ?? []).filter { $0["result"]?.string == word }
                        .compactMap { $0["number"]?.int })
            }
            (passed, failed, skipped) = (numbers("passed"), numbers("failed"), numbers("skipped"))
            text = result.output
            #expect(json["failed"]?.int == failed.count && json["passed"]?.int == passed.count)
        }
    }

    /// A worker in this process at a Unix socket, whose connections go through `change`.
    private final class Served: Sendable {
        let path = FileManager.default.temporaryDirectory.appending(
            path: "w\(UInt32.random(in: 0...(.max)))"
        ).path
        private let listener: UnixListener

        init(
            _ model: URL, _ format: WeightFormat, shard: Shard = .whole, window: Int = 4,
            change: @escaping @Sendable (any ByteStream) -> any ByteStream = { $0 }
        ) throws {
            let checkpoint = try Checkpoint(directory: model.path)
            let decoder = try Decoder(checkpoint, format: format, pool: ThreadPool(threads: 1), shard: shard)
            var most = Worker.Limits()
            most.slots = 20
            var limits = WorkerServer.Limits()
            (limits.connections, limits.tensorBytes, limits.window) = (16, 1 << 20, window)
            let server = WorkerServer(
                worker: Worker(model: decoder, limits: most), digest: checkpoint.digest(), weights: format,
                limits: limits)
            let listener = try UnixListener(path: path)
            self.listener = listener
            Thread.detachNewThread {
                while let socket = try? listener.accept(before: .never) {
                    Thread.detachNewThread {
                        guard let stream = try? SharedMemoryStream.accept(upgrading: socket) else {
                            return socket.close()
                        }
                        server.serve(change(stream))
                    }
                }
            }
        }

        deinit { listener.close() }
    }

    @Test("scx-worker passes every check, killed and started again")
    func started() throws {
        let model = TinyModel.folder.appending(path: "llama-gqa2").path
        let report = try Report(
            [
                "--model", model, "--threads", "1", "--start",
                "'\(WorkerProcessTests.worker)' --model '\(model)' --listen unix:{} --threads 1 --max-tensor 1 --max-sessions 20",
            ], fails: false)
        #expect(report.failed.isEmpty && report.passed.count > 110, "\(report.text)")
        // No experts, a ring, no pictures, no part, more bytes of many parts than the worker takes.
        #expect(report.skipped == [403, 407, 510, 609, 708, 709, 807], "\(report.text)")
    }

    @Test(
        "workers of other models and formats pass",
        arguments: [
            ("parity/qwen2-moe", WeightFormat.f32, 1), ("parity/deepseek-v2", .int8, 1),
            ("parity/gpt2", .bf16, 1),
            ("encoders/bert", .int8, 1), ("vision/gemma3-pictures", .int4, 1), ("parity/mixtral", .int8, 3),
        ])
    func models(name: String, format: WeightFormat, parts: Int) throws {
        let model = Self.fixtures.appending(path: name)
        let shard = try #require(Shard(index: parts - 1, of: parts))
        let worker = try Served(model, format, shard: shard)
        let report = try Report(
            [
                "--model", model.path, "--threads", "1", "--worker", "unix:\(worker.path)", "--only",
                "101,ring,floats,sessions,refusals,802,804,809,901",
            ], fails: false)
        #expect(report.failed.isEmpty && report.passed.count >= 10, "\(report.text)")
    }

    /// A way to break the protocol, which checks notice it, and which do not.
    struct Fault: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let failed: Set<Int>
        let passed: Set<Int>
        var window = 4
        /// Seconds until the command takes it for a fault that nothing comes.
        var patience = 60
        let change: @Sendable (any ByteStream) -> any ByteStream

        static let all = [
            Fault(
                testDescription: "one bit of each answer in integers is wrong", failed: [401, 404, 406],
                passed: [101, 505, 801],
                change: { Altered($0, write: { if Altered.isTensor($0, elements: 2) { $0[32] ^= 1 } }) }),
            Fault(
                testDescription: "a number of each answer in float32 is wrong", failed: [505, 601],
                passed: [101, 401, 801],
                change: { Altered($0, write: { if Altered.isTensor($0, elements: 1) { $0[35] ^= 0x40 } }) }),
            Fault(
                testDescription: "flags are not looked at", failed: [206, 213], passed: [101, 205, 207],
                change: { Altered($0, read: { if $0.count == 31 { $0[9] = 0 } }) }),
            Fault(
                testDescription: "numbers of requests are not looked at", failed: [110, 216],
                passed: [101, 205],
                change: { stream in
                    let heads = Counter()
                    return Altered(
                        stream,
                        read: { bytes in
                            guard bytes.count == 31 else { return }
                            let number = heads.next()
                            for i in 0..<8 {
                                bytes[15 + i] = UInt8(truncatingIfNeeded: number >> (8 * UInt64(i)))
                            }
                        })
                }),
            Fault(
                testDescription: "more requests are taken than the hello says", failed: [806],
                passed: [101, 406, 805], window: 40,
                change: { Altered($0, write: { Altered.hello(&$0) { $0[0] = 4 } }) }),
            // The worker takes 1 MiB and says 896 KiB.
            Fault(
                testDescription: "larger tensors are taken than the hello says", failed: [803],
                passed: [101, 401],
                patience: 2, change: { Altered($0, write: { Altered.hello(&$0) { $0[6 + 2] = 0x0E } }) }),
            Fault(
                testDescription: "no answer comes to a request for numbers", failed: [608],
                passed: [101, 606],
                patience: 2,
                change: { Altered($0, write: { if $0.count >= 32, $0[8] == 12 { $0 = [] } }) }),
            Fault(
                testDescription: "connections end without a word", failed: [103, 205, 313],
                passed: [101, 505],
                change: {
                    Altered(
                        $0,
                        write: { if $0.count >= 32, $0[8] == 0x40, $0[32] == 4 || $0[32] == 5 { $0 = [] } })
                }),
            Fault(
                testDescription: "slots are not released", failed: [606], passed: [101, 601, 607],
                change: { stream in
                    Altered(stream, read: { if $0 == [4, 0, 0, 0] { $0[0] = 99 } })
                }),
        ]
    }

    @Test("a worker that breaks the protocol in one way is found out", arguments: Fault.all)
    func faulty(fault: Fault) throws {
        let model = TinyModel.folder.appending(path: "llama-gqa2")
        let worker = try Served(model, .int8, window: fault.window, change: fault.change)
        let only = (fault.failed.union(fault.passed)).map(String.init).joined(separator: ",")
        let report = try Report(
            [
                "--model", model.path, "--threads", "1", "--worker", "unix:\(worker.path)", "--only", only,
                "--patience", "\(fault.patience)",
            ], fails: true)
        #expect(report.failed == fault.failed && report.passed == fault.passed, "\(report.text)")
    }

    @Test("the table says what was checked, and what cannot be run is one line that names it")
    func output() throws {
        let model = TinyModel.folder.appending(path: "llama-gqa2")
        let worker = try Served(model, .f32)
        let result = try CommandTests().run(
            "scx-lab",
            [
                "conformance", "--model", model.path, "--worker", "unix:\(worker.path)", "--only",
                "101,407,restart",
            ])
        #expect(result.status == 0)
        #expect(result.output.contains("101  hello is answered"))
        #expect(result.output.hasSuffix("\n2 passed, 0 failed, 2 skipped\n"))
        for (arguments, name) in [
            ([], "--worker"), (["--worker", "nowhere"], "nowhere"), (["--start", "worker"], "--start"),
            (["--worker", "unix:/nowhere/worker"], "/nowhere/worker"),
            (["--worker", "tcp://h:1"], "--tls-cert"),
            (["--worker", "unix:/w", "--only", "999"], "999"),
            (["--worker", "unix:/w", "--patience", "0"], "--patience 0"),
            (["--start", "false {}"], "ended with status 1"),
            (
                [
                    "--worker", "unix:\(worker.path)", "--model",
                    TinyModel.folder.appending(path: "gpt2").path,
                ], "another model"
            ),
        ] {
            let arguments = arguments.contains("--model") ? arguments : arguments + ["--model", model.path]
            let result = try CommandTests().run("scx-lab", ["conformance"] + arguments)
            #expect(result.status != 0 && result.error.contains(name), "\(result.error)")
        }
    }
}

private final class Counter: Sendable {
    private let value = Atomic<UInt64>(0)

    func next() -> UInt64 { value.add(1, ordering: .relaxed).newValue }
}

/// A stream of which what the worker reads and writes is altered on the way.
private final class Altered: ByteStream {
    typealias Change = @Sendable (inout [UInt8]) -> Void

    private let stream: any ByteStream
    private let onRead: Change
    private let onWrite: Change
    /// The head of the message that is being sent.
    private let head = Mutex<[UInt8]>([])

    init(_ stream: any ByteStream, read: @escaping Change = { _ in }, write: @escaping Change = { _ in }) {
        (self.stream, onRead, onWrite) = (stream, read, write)
    }

    @unsafe func read(_ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        try unsafe stream.read(buffer, before: deadline)
        var bytes = unsafe Array(buffer)
        onRead(&bytes)
        unsafe buffer.copyBytes(from: bytes)
    }

    /// A tensor is written after its frame's head; here both are one list of bytes.
    @unsafe func write(_ buffer: UnsafeRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        var bytes = unsafe Array(buffer)
        let isHead = bytes.prefix(4) == [0x53, 0x43, 0x58, 0x31]
        let before = isHead ? [] : head.withLock { $0 }
        if isHead { head.withLock { $0 = Array(bytes.prefix(32)) } }
        var whole = before + bytes
        onWrite(&whole)
        bytes = Array(whole.dropFirst(before.count))
        try unsafe bytes.span.bytes.withUnsafeBytes { b throws(LinkError) in
            try unsafe stream.write(b, before: deadline)
        }
    }

    func close() { stream.close() }

    /// Whether the bytes are a head and the beginning of a tensor of such elements.
    static func isTensor(_ bytes: [UInt8], elements: UInt8) -> Bool {
        bytes.count >= 36 && bytes[11] == elements && bytes[12...15] == [0, 0, 0, 0]
    }

    /// Changes the fields of a hello from the window on.
    static func hello(_ bytes: inout [UInt8], _ change: (inout [UInt8]) -> Void) {
        guard bytes.count > 32, bytes[8] == 1 else { return }
        let digest = Int(bytes[34])
        let start = 36 + digest + 2 + Int(bytes[36 + digest]) + 1
        var rest = Array(bytes[start...])
        change(&rest)
        bytes.replaceSubrange(start..., with: rest)
    }
}

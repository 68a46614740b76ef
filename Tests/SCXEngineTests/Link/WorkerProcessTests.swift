import Foundation
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

@Suite("worker processes", .serialized)
struct WorkerProcessTests {
    /// The programs lie beside the test bundle.
    static let worker = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "scx-worker").path

    func start(_ model: TinyModel, _ more: [String] = []) throws -> WorkerProcess {
        try #require(
            FileManager.default.isExecutableFile(atPath: Self.worker), "\(Self.worker) is not built")
        return try WorkerProcess(
            program: Self.worker,
            arguments: ["--model", model.checkpoint.directory, "--weights", "f32", "--threads", "1"] + more)
    }

    func link(_ model: TinyModel, _ process: WorkerProcess) -> RemoteLink {
        RemoteLink(
            digest: model.checkpoint.digest(), model: model.checkpoint.configuration,
            patience: .ownProcess
        ) { deadline throws(LinkError) in try process.connect(before: deadline) }
    }

    @Test(
        "two processes give the tokens of one",
        arguments: ["llama-biases", "mistral-window", "qwen2-window", "qwen3-yarn"])
    func sameTokens(name: String) throws {
        let model = try TinyModel(name)
        let process = try start(model)
        let request = greedy(Array(1...20), 12)
        let here = try answer(model.engine(InProcessLink(Worker(model: model.decoder))), request)
        #expect(try answer(model.engine(link(model, process)), request) == here)
    }

    @Test("a worker killed at random moments changes no token of 100 answers and more")
    func killed() throws {
        let model = try TinyModel("llama-gqa2")
        let process = try start(model)
        let reference = try model.engine(InProcessLink(Worker(model: model.decoder)))
        let engine = try model.engine(link(model, process))
        let isDone = Atomic(false)
        let kills = Atomic(0)
        let killer = Thread {
            while !isDone.load(ordering: .acquiring) {
                Thread.sleep(forTimeInterval: .random(in: 0.05...0.4))
                if let number = process.processIdentifier, kill(number, SIGKILL) == 0 {
                    kills.add(1, ordering: .relaxed)
                }
            }
        }
        killer.start()
        defer { isDone.store(true, ordering: .releasing) }
        var round = 0
        // A fast machine answers all 100 before the first kill: it goes on until some have met one.
        while round < 100 || kills.load(ordering: .relaxed) < 5 && round < 100_000 {
            defer { round += 1 }
            let request = greedy((0...round % 9).map { Int32(($0 * 31 + round) % 90) }, 24)
            #expect(try answer(engine, request) == answer(reference, request))
        }
        #expect(kills.load(ordering: .relaxed) >= 5)
    }

    @Test("a worker that cannot start is given up with its name")
    func cannotStart() throws {
        let model = try TinyModel("qwen3")
        let process = try start(model, ["--no-such-flag"])
        do throws(LinkError) {
            try link(model, process).open()
            Issue.record("a worker that does not exist was reached")
        } catch {
            guard case .unreachable(let reason) = error else { throw error }
            #expect(reason.contains("scx-worker"))
        }
    }

    @Test("a worker whose parent is gone removes its socket, and the directory if nothing else is in it")
    func orphan() throws {
        let model = try TinyModel("qwen3")
        for isAlone in [true, false] {
            let folder = FileManager.default.temporaryDirectory.appending(
                path: "scx-\(UUID().uuidString)"
            ).path
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let (socket, other) = ("\(folder)/w.sock", "\(folder)/other")
            if !isAlone { try Data().write(to: URL(filePath: other)) }
            let (process, input) = (Process(), Pipe())
            process.executableURL = URL(filePath: Self.worker)
            process.arguments = [
                "--model", model.checkpoint.directory, "--weights", "f32", "--threads", "1", "--listen",
                "unix:\(socket)", "--end-with-input",
            ]
            process.standardInput = input
            try process.run()
            let link = RemoteLink(
                digest: model.checkpoint.digest(), model: model.checkpoint.configuration,
                patience: .ownProcess
            ) { deadline throws(LinkError) in try SharedMemoryStream.connect(path: socket, before: deadline) }
            try link.open()
            // As the end of this process would.
            try input.fileHandleForWriting.close()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            #expect(!FileManager.default.fileExists(atPath: socket))
            #expect(FileManager.default.fileExists(atPath: folder) != isAlone)
            #expect(FileManager.default.fileExists(atPath: other) != isAlone)
        }
    }

    @Test("the process and its directory are gone when nobody needs them")
    func cleansUp() throws {
        let model = try TinyModel("qwen3")
        var process: WorkerProcess? = try start(model)
        var link: RemoteLink? = process.map { self.link(model, $0) }
        try link?.open()
        let number = try #require(process?.processIdentifier)
        let socket = try #require(process?.socket)
        link = nil
        process = nil
        for _ in 0..<30_000 where kill(number, 0) == 0 { Thread.sleep(forTimeInterval: 0.02) }
        #expect(kill(number, 0) != 0)
        #expect(!FileManager.default.fileExists(atPath: socket))
    }
}

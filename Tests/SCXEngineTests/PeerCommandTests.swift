import Foundation
import SCXInference
import SCXLink
import SCXLinkTLS
import SCXProfiles
import SCXWorker
import Testing

/// Runs the program as a person does who gives the same owner twice.
@Suite("a peer of another owner, by commands", .serialized)
struct PeerCommandTests {
    private let folder: String
    private let question = ["generate", "--prompt-ids", "5,6,7", "--max-tokens", "4", "--json"]

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    }

    private func scx(_ arguments: [String]) throws -> CommandTests.Result {
        try CommandTests().run("scx", arguments)
    }

    private func tokens(_ result: CommandTests.Result) throws -> JSON? {
        try JSON(parsing: result.output.trimmingCharacters(in: .whitespacesAndNewlines))["tokens"]
    }

    /// The one line that a mistake is answered with.
    private func line(_ result: CommandTests.Result) -> String {
        #expect(result.status != 0 && result.errorLines.count == 1, "\(result.error)")
        return String(result.errorLines.last ?? "")
    }

    /// A running `scx-worker` of the bundled model on a socket of its own.
    private func start(
        weights: String = "int8", more: [String] = []
    ) throws -> (process: WorkerProcess, link: RemoteLink) {
        let checkpoint = try Checkpoint(directory: LeakTests.bundled)
        let process = try WorkerProcess(
            program: WorkerProcessTests.worker,
            arguments: ["--model", LeakTests.bundled, "--weights", weights, "--threads", "1"] + more)
        let link = RemoteLink(to: process, checkpoint)
        try link.open()
        return (process, link)
    }

    @Test("two worker processes are two owners; one under another name, or pads that it made, is refused")
    func processes() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (worker, peer) = (try start(), try start())
        defer { for one in [worker, peer] { one.link.close() } }
        let (main, other) = ("unix:\(worker.process.socket)", "unix:\(peer.process.socket)")
        let expected = try tokens(scx(question + ["--profile", "fixed-point"]))

        let right = try scx(question + ["--worker", main, "--pads", "peer:\(other)"])
        #expect(right.status == 0 && right.errorLines.isEmpty, "\(right.error)")
        #expect(try tokens(right) == expected)

        try FileManager.default.createSymbolicLink(
            atPath: "\(folder)/again", withDestinationPath: worker.process.socket)
        let again = "peer:unix:\(folder)/again"
        let refused = line(try scx(question + ["--worker", main, "--pads", "direct", "--pads", again]))
        #expect(
            refused.contains("'--pads \(again)' is the main worker '\(main)': both paths lead to one socket"))

        // Pads on disk that the main worker has multiplied are not used.
        let bank = "\(folder)/bank"
        let fill = try scx(["pads", "fill", "--count", "64", "--bank", bank, "--pads", "peer:\(main)"])
        #expect(fill.status == 0, "\(fill.error)")
        let own = try scx(question + ["--worker", main, "--bank", bank])
        #expect(try tokens(own) == expected)
        #expect(own.errorLines.filter { $0.contains("it is the main worker '\(main)' now") }.count == 1)
        let pads = try JSON(parsing: own.output)["pads"]
        #expect(pads?["peer"] == 0 && (pads?["direct"]?.int ?? 0) > 0)
        // Nor under another name of its, which nobody can tell from another worker's.
        for name in ["unix:\(folder)/again", other] {
            let unknown = try scx(question + ["--worker", name, "--bank", bank])
            #expect(try tokens(unknown) == expected)
            #expect(unknown.errorLines.filter { $0.contains("it has shown no TLS key") }.count == 1)
            #expect(try JSON(parsing: unknown.output)["pads"]?["peer"] == 0)
        }
        // This program's own worker is nobody's peer.
        let alone = try scx(question + ["--bank", bank])
        #expect(try tokens(alone) == expected && alone.errorLines.isEmpty, "\(alone.error)")
        #expect((try JSON(parsing: alone.output)["pads"]?["peer"]?.int ?? 0) > 0)
    }

    @Test("a peer without int8 weights, a peer that is not there, and too many rows are told at the start")
    func refusals() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let floats = try start(weights: "bf16")
        let part = try start(more: ["--shard", "1/2"])
        let small = try start(more: ["--max-tensor", "1"])
        defer { for one in [floats, part, small] { one.link.close() } }
        for (peer, reason) in [(floats, "has bf16 weights"), (part, "has shard 1 of 2")] {
            let address = "peer:unix:\(peer.process.socket)"
            let result = try scx(question + ["--pads", address, "--pads", "direct"])
            #expect(line(result).contains("'--pads \(address)' \(reason)"))
        }
        let worker = ["--worker", "unix:\(small.process.socket)"]
        let rows = try scx(question + worker + ["--pad-rows", "4096"])
        #expect(
            rows.status != 0 && rows.error.contains("'--pad-rows' sends 4096 rows at least"), "\(rows.error)")
        let expected = try tokens(scx(question + ["--profile", "fixed-point"]))
        #expect(try tokens(scx(question + worker + ["--pad-rows", "2"])) == expected)

        let missing = "peer:unix:\(folder)/none"
        let none = try scx(question + ["--pads", missing])
        #expect(none.status != 0 && none.error.contains("'--pads \(missing)'"), "\(none.error)")
        let other = try scx(question + ["--pads", missing, "--pads", "direct"])
        #expect(try tokens(other) == expected)
        #expect(
            other.errorLines.filter {
                $0.contains("peer unix:\(folder)/none is left out until it is back: ")
            }.count == 1 && other.errorLines.count == 1, "\(other.error)")
    }

    @Test("over TLS the key counts, and on one machine the process behind it")
    func keys() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for name in ["worker", "peer", "client"] {
            #expect(try scx(["keys", "new", "--out", "\(folder)/\(name)"]).status == 0)
        }
        for (a, b) in [
            ("worker", "client"), ("peer", "client"), ("client", "worker"), ("client", "peer"),
        ] {
            let trust = ["keys", "trust", "\(folder)/\(b)/cert.pem", "--in", "\(folder)/\(a)"]
            #expect(try scx(trust).status == 0)
        }
        let checkpoint = try Checkpoint(directory: LeakTests.bundled)
        let decoder = try Decoder(checkpoint, format: .int8, pool: ThreadPool(threads: 1))
        let server = WorkerServer(worker: Worker(model: decoder), digest: checkpoint.digest(), weights: .int8)
        func listen(_ name: String) throws -> TLSServer {
            let listener = try TLSServer(
                host: "127.0.0.1", port: 0, identity: TLSIdentity(directory: "\(folder)/\(name)"))
            Thread.detachNewThread {
                while let stream = try? listener.accept() {
                    Thread.detachNewThread { server.serve(stream) }
                }
            }
            return listener
        }
        let listeners = try ["worker", "worker", "peer"].map { try listen($0) }
        defer { for listener in listeners { listener.close() } }
        let client = "\(folder)/client"
        let tls = [
            "--tls-cert", "\(client)/cert.pem", "--tls-key", "\(client)/key.pem", "--tls-ca",
            "\(client)/trusted.pem",
        ]
        let addresses = listeners.map { "tcp://127.0.0.1:\($0.port)" }
        for (peer, reason) in [
            (addresses[1], "both show the same TLS key"),
            (addresses[2], "process \(getpid()) of this machine serves both"),
            ("tcp://localhost:\(listeners[0].port)", "both show the same TLS key"),
        ] {
            let result = try scx(question + tls + ["--worker", addresses[0], "--pads", "peer:\(peer)"])
            #expect(
                line(result).contains(
                    "'--pads peer:\(peer)' is the main worker '\(addresses[0])': \(reason)"))
        }
    }
}

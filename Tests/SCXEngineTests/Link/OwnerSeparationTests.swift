import Foundation
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

/// A stream whose other end is said to be somebody.
final class IdentifiedStream: ByteStream {
    private let inner: any ByteStream
    let remoteEnd: RemoteEnd

    init(_ inner: any ByteStream, _ remoteEnd: RemoteEnd) {
        (self.inner, self.remoteEnd) = (inner, remoteEnd)
    }

    @unsafe func read(_ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        try unsafe inner.read(buffer, before: deadline)
    }

    @unsafe func write(_ buffer: UnsafeRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        try unsafe inner.write(buffer, before: deadline)
    }

    func close() { inner.close() }
}

@Suite("owners of main workers and peers")
struct OwnerSeparationTests {
    private func end(
        key: UInt8? = nil, address: String? = nil, path: String? = nil, process: LocalProcess? = nil
    ) -> RemoteEnd {
        var end = RemoteEnd()
        end.key = key.map { [UInt8](repeating: $0, count: 32) }
        (end.address, end.path, end.process) = (address, path, process)
        return end
    }

    /// Why somebody is refused; nil when it is not.
    private func refusal(
        _ owners: OwnerSeparation, _ end: RemoteEnd, _ role: OwnerSeparation.Role, _ name: String
    ) -> String? {
        do throws(LinkError) {
            try owners.admit(end, role, name: name)
            return nil
        } catch {
            guard case .incompatible(let reason) = error else { return "another error" }
            return reason
        }
    }

    @Test("a peer with the key, the address or the process of a main worker is refused by its name")
    func peer() throws {
        let owners = OwnerSeparation()
        let (own, other) = (try #require(LocalProcess(number: getpid())), LocalProcess(number: getppid()))
        let worker = end(key: 1, address: "10.0.0.1:7070", process: own)
        #expect(refusal(owners, worker, .worker, "tcp://worker:7070") == nil)
        #expect(refusal(owners, end(key: 2, process: other), .worker, "tcp://second:7070") == nil)
        let end = "; together they read everything, so pads need a peer of another owner"
        for (same, reason) in [
            (self.end(key: 1), "both show the same TLS key"),
            (self.end(key: 3, address: "10.0.0.1:7070"), "both are at 10.0.0.1:7070"),
            (
                self.end(key: 3, process: own),
                "process \(getpid()) of this machine serves both (a tunnel needs a process for each)"
            ),
        ] {
            #expect(
                refusal(owners, same, .peer, "tcp://peer:1")
                    == "'--pads peer:tcp://peer:1' is the main worker 'tcp://worker:7070': " + reason + end)
        }
        #expect(refusal(owners, self.end(key: 4, address: "10.0.0.2:7070"), .peer, "tcp://peer:1") == nil)
    }

    @Test("a main worker that turns out to be a peer is refused, also by what the peer showed long ago")
    func worker() {
        let owners = OwnerSeparation()
        #expect(refusal(owners, end(key: 1, address: "10.0.0.1:1"), .peer, "tcp://peer:1") == nil)
        #expect(refusal(owners, end(key: 2, address: "10.0.0.2:1"), .peer, "tcp://peer:1") == nil)
        let found = refusal(owners, end(key: 1, address: "10.0.0.3:1"), .worker, "tcp://worker:1")
        #expect(
            found?.hasPrefix("'--worker tcp://worker:1' is the peer of '--pads' 'tcp://peer:1': ") == true)
        #expect(refusal(owners, end(key: 5, address: "10.0.0.2:1"), .worker, "tcp://worker:1") != nil)
        // An address that the peer has left may be another's now, and those who are refused leave no trace.
        #expect(refusal(owners, end(key: 3, address: "10.0.0.1:1"), .worker, "tcp://worker:1") == nil)
        #expect(refusal(owners, end(key: 5, address: "10.0.0.4:1"), .peer, "tcp://peer:2") == nil)
    }

    @Test("stored pads are refused of a main worker, and of whoever showed no key beside workers of others")
    func storedPads() {
        let owners = OwnerSeparation()
        func refusal(_ name: String, _ key: UInt8?, _ workers: [String]) -> String? {
            owners.refusal(
                ofPadsBy: name, key: key.map { [UInt8](repeating: $0, count: 32) }, workers: workers)
        }
        let workers = ["tcp://worker:7070"]
        #expect(self.refusal(owners, end(key: 1), .worker, workers[0]) == nil)
        let isWorker = "it is the main worker 'tcp://worker:7070' now, and would read everything"
        #expect(refusal("tcp://peer:1", 1, workers) == isWorker)
        #expect(refusal("tcp://worker:7070", 2, workers) == isWorker)
        // By whatever name: a link, a second name or another socket of the same process leads to the same one.
        for name in ["unix:a.sock", "unix:link.sock"] {
            #expect(
                refusal(name, nil, ["unix:a.sock"])?.contains("main worker 'unix:a.sock'") == true)
            #expect(refusal(name, nil, workers)?.contains("it has shown no TLS key") == true)
            #expect(refusal(name, nil, []) == nil)
        }
        // What was accepted counts: a main worker that turns out to be the maker later is refused.
        #expect(refusal("tcp://peer:1", 3, workers) == nil)
        let found = self.refusal(owners, end(key: 3), .worker, workers[0])
        #expect(
            found?.hasPrefix("'--worker tcp://worker:7070' is the peer of '--pads' 'tcp://peer:1': ") == true)
        #expect(self.refusal(owners, end(key: 4), .worker, workers[0]) == nil)
    }

    @Test("several workers, and several peers, may be one owner's")
    func sameRole() {
        let owners = OwnerSeparation()
        for name in ["a", "b"] {
            #expect(refusal(owners, end(key: 1, address: "10.0.0.1:1"), .worker, name) == nil)
            #expect(refusal(owners, end(key: 2, address: "10.0.0.2:1"), .peer, name) == nil)
        }
    }

    @Test("a socket by another name is the same socket, and one process behind two sockets is one owner")
    func sockets() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (first, second) = ("\(folder)/a", "\(folder)/b")
        let listeners = [try UnixListener(path: first), try UnixListener(path: second)]
        defer { for listener in listeners { listener.close() } }
        try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: first)
        try FileManager.default.linkItem(atPath: first, toPath: "\(folder)/name")
        #expect(UnixSocket.isSame(first, "\(folder)/link") && UnixSocket.isSame("\(folder)/name", first))
        #expect(!UnixSocket.isSame(first, second) && !UnixSocket.isSame(first, "\(folder)/none"))

        func connection(_ path: String) throws -> RemoteEnd {
            let stream = try UnixSocket.connect(path: path, before: Deadline(after: .seconds(3_600)))
            defer { stream.close() }
            return stream.remoteEnd
        }
        let owners = OwnerSeparation()
        let worker = try connection(first)
        #expect(worker.path == first && worker.process?.number == getpid() && worker.key == nil)
        #expect(worker.process == LocalProcess(number: getpid()))
        #expect(refusal(owners, worker, .worker, "unix:a") == nil)
        for name in ["link", "name"] {
            let found = refusal(owners, try connection("\(folder)/\(name)"), .peer, "unix:\(name)")
            #expect(found?.contains("both paths lead to one socket") == true)
        }
        let found = refusal(owners, try connection(second), .peer, "unix:b")
        #expect(found?.contains("process \(getpid()) of this machine serves both") == true)
    }

    @Test("who is behind an address is looked at again whenever a connection is made anew")
    func reconnects() throws {
        let model = try TinyModel("llama-gqa2")
        let server = model.server()
        let owners = OwnerSeparation()
        try owners.admit(end(key: 1), .worker, name: "worker")
        // The second connection leads to the main worker, the third to a peer again.
        let ends = [end(key: 2), end(key: 1), end(key: 3)]
        let made = Mutex<[PipeStream]>([])
        let link = RemoteLink(
            digest: model.checkpoint.digest(), model: model.checkpoint.configuration,
            connect: owners.guarding(.peer, name: "peer") { _ in
                let (client, worker) = PipeStream.pair(onWrite: { _, _ in })
                Thread.detachNewThread { server.serve(worker) }
                let number = made.withLock { made in
                    made.append(client)
                    return made.count - 1
                }
                return IdentifiedStream(client, ends[min(number, ends.count - 1)])
            })
        try link.open()
        #expect(link.remoteEnd?.key == ends[0].key)
        _ = try link.exchange(Request(.stats))
        made.withLock { $0[0] }.close()
        // The first request meets the end of the connection, or already the refusal.
        #expect(throws: LinkError.self) { try link.exchange(Request(.stats)) }
        if made.withLock({ $0.count }) == 1 {
            let error = #expect(throws: LinkError.self) { try link.exchange(Request(.stats)) }
            guard case .incompatible(let reason) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(reason.contains("'--pads peer:peer' is the main worker 'worker'"))
        }
        #expect(made.withLock { $0.count } == 2)
        _ = try link.exchange(Request(.stats))
        #expect(link.remoteEnd?.key == ends[2].key && link.traffic.connections == 2)
        link.close()
    }
}

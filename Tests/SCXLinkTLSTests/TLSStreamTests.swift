import Foundation
import SCXLink
import SCXLinkTLS
import Synchronization
import Testing

@Suite("TLS stream", .serialized, .timeLimit(.minutes(60)))
struct TLSStreamTests {
    private let keys: TestKeys
    private let server: TLSServer
    private let client: TLSStream
    private let worker: TLSStream

    init() throws {
        keys = try TestKeys()
        let sides = try keys.pair()
        server = try TLSServer(host: "127.0.0.1", port: 0, identity: sides.worker)
        client = try connect(server, sides.client)
        worker = try server.accept(before: soon)
    }

    private func end() {
        client.close()
        worker.close()
        server.close()
    }

    @Test("carries bytes of any number both ways", arguments: [1, 31, 4096, 16_385, 1 << 20, 3_000_001])
    func bothWays(count: Int) throws {
        defer { end() }
        let (up, down) = (pattern(count), pattern(count, seed: 9))
        let (client, worker) = (client, worker)
        let sending = [Beside { try client.send(up) }, Beside { try worker.send(down) }]
        #expect(try worker.receive(count) == up)
        #expect(try client.receive(count) == down)
        for work in sending { try work.value() }
    }

    @Test("a slow reader stops the writer, and memory stays bounded")
    func slowReader() throws {
        defer { end() }
        let part = pattern(1 << 20)
        let client = client
        let sent = Atomic(0)
        let sending = Beside {
            for _ in 0..<64 {
                try client.send(part)
                sent.add(1, ordering: .relaxed)
            }
        }
        Thread.sleep(forTimeInterval: 0.5)
        // What both queues and the system's hold, far from the 64 MiB that are on offer.
        #expect(sent.load(ordering: .relaxed) < 56)
        for _ in 0..<64 { #expect(try worker.receive(part.count) == part) }
        try sending.value()
    }

    @Test("a write to a peer that never reads ends at its deadline")
    func writeDeadline() {
        defer { end() }
        let client = client
        #expect(throws: LinkError.timedOut("\(client.peer) took nothing in time")) {
            // More than the queues of both sides and the system's can grow to.
            try client.send(pattern(128 << 20), before: Deadline(after: .milliseconds(700)))
        }
    }

    @Test("a read ends at its deadline, and the stream lives on")
    func readDeadline() throws {
        defer { end() }
        #expect(throws: LinkError.timedOut("\(client.peer) sent nothing in time")) {
            try client.receive(1, before: Deadline(after: .milliseconds(50)))
        }
        try worker.send([7])
        #expect(try client.receive(1) == [7])
    }

    @Test("closing wakes a reader that waits, on both sides")
    func closeWakes() throws {
        defer { end() }
        let (client, worker) = (client, worker)
        let readers = [client, worker].map { stream in
            Beside { () -> LinkError? in
                do throws(LinkError) {
                    _ = try stream.receive(1)
                    return nil
                } catch {
                    return error
                }
            }
        }
        Thread.sleep(forTimeInterval: 0.05)
        client.close()
        client.close()
        #expect(try readers[0].value() == .disconnected("\(client.peer): closed on this side"))
        #expect(try readers[1].value() == .disconnected("\(worker.peer) closed the connection"))
        #expect(throws: LinkError.self) { try client.send([1]) }
    }

    @Test("what was sent before a close can still be read")
    func readAfterClose() throws {
        defer { end() }
        let bytes = pattern(100_000)
        try worker.send(bytes)
        #expect(try client.receive(1) == [bytes[0]])
        worker.close()
        #expect(try client.receive(bytes.count - 1) == Array(bytes[1...]))
        #expect(throws: LinkError.disconnected("\(client.peer) closed the connection")) {
            try client.receive(1)
        }
    }

    @Test("carries messages with tensors")
    func messages() throws {
        defer { end() }
        let hello = Message(
            head: FrameHead(kind: .hello, isAnswer: false, number: 1), fields: [1, 0, 0, 0, 0, 0])
        var head = FrameHead(kind: .linear, isAnswer: false, number: 2)
        head.elements = .float32
        (head.rows, head.channels) = (1024, 1024)
        let tensor = (0..<1024 * 1024).map { Float($0 % 1000) }
        let message = Message(head: head, fields: [1, 2, 3], tensor: .floats(tensor))
        let (up, down) = (MessageStream(client), MessageStream(worker))
        let sending = Beside {
            try up.send(hello)
            try up.send(message)
        }
        for sent in [hello, message] {
            let received = try down.receive(before: soon) { _ throws(LinkError) in }
            #expect(received.fields == sent.fields)
            #expect(received.tensor == sent.tensor)
        }
        try sending.value()
    }
}

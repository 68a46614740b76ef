import Foundation
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

@Suite("hostile peers")
struct HostilePeerTests {
    let model: TinyModel

    init() throws { model = try TinyModel("llama-gqa2") }

    /// Serves one end of a new connection on a thread of its own.
    func connect(_ server: WorkerServer) -> PipeStream {
        let (client, worker) = PipeStream.pair { _, _ in }
        Thread.detachNewThread { server.serve(worker) }
        return client
    }

    func send(_ bytes: [UInt8], _ stream: PipeStream) {
        try? unsafe bytes.span.bytes.withUnsafeBytes { b throws(LinkError) in
            try unsafe stream.write(b, before: .never)
        }
    }

    @Test(
        "whatever a client sends, its connection ends and the others get their answers",
        .timeLimit(.minutes(60)))
    func clients() throws {
        var limits = WorkerServer.Limits()
        limits.patience = .seconds(1)
        let server = model.server(limits)
        let good = try model.engine(model.link(to: { server }))
        let expected = try answer(good, greedy([1, 2, 3], 8))

        var client = ClientProtocol(digest: model.checkpoint.digest(), model: model.checkpoint.configuration)
        var hello = client.hello()
        hello.head.payloadBytes = hello.fields.count
        let greeting = hello.head.bytes + hello.fields
        var generator = SystemRandomNumberGenerator()
        let noise = (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let attacks: [[UInt8]] = [
            noise, Array(repeating: 0, count: 4_096), Array(repeating: 0xFF, count: 4_096),
            Array("GET / HTTP/1.1\r\nHost: worker\r\n\r\n".utf8),
            greeting + greeting,  // a second hello
            greeting + noise, Array(greeting.dropLast(3)),  // never ends
            greeting + Array(greeting.prefix(20)),
        ]
        for attack in attacks {
            let stream = connect(server)
            send(attack, stream)
            // The worker hangs up, at the latest when its patience ends.
            var rest = [UInt8](repeating: 0, count: 1 << 16)
            var span = rest.mutableSpan
            #expect(throws: LinkError.self) {
                try unsafe span.withUnsafeMutableBytes { b throws(LinkError) in
                    try unsafe stream.read(b, before: Deadline(after: .seconds(3_600)))
                }
            }
            #expect(try answer(good, greedy([1, 2, 3], 8)) == expected)
        }
    }

    @Test("a thousand connections that say nothing leave the others alone", .timeLimit(.minutes(60)))
    func manyConnections() throws {
        let server = model.server()
        let good = try model.engine(model.link(to: { server }))
        let expected = try answer(good, greedy([4, 5], 6))
        let silent = (0..<1_000).map { _ in connect(server) }
        #expect(try answer(good, greedy([4, 5], 6)) == expected)
        for stream in silent { stream.close() }
        #expect(try answer(good, greedy([4, 5], 6)) == expected)
    }

    @Test("rows that are no numbers give no numbers, and the worker lives on")
    func notNumbers() throws {
        let server = model.server()
        let link = model.link(to: { server })
        let hidden = model.checkpoint.configuration.hiddenSize
        let rows = EncodedTensor(
            encodedRows: 2, channels: hidden, values: Array(repeating: .nan, count: 2 * hidden))
        guard
            case .tensor(let logits) = try link.exchange(
                Request(.headTopK(count: model.checkpoint.configuration.vocabularySize), rows))
        else { Issue.record("no logits"); return }
        #expect(logits.values.allSatisfy { $0.isNaN })
        #expect(throws: LinkError.self) { try link.exchange(Request(.headTopK(count: 1), rows)) }
        #expect(try answer(model.engine(link), greedy([1], 4)).count == 4)
    }

    /// What a hostile worker does once it has answered the hello.
    enum Misdeed: CaseIterable {
        case garbage, wrongNumber, wrongShape, notNumbers, hangUp, failure, twice, noWindow
    }

    @Test("whatever a worker answers, the trusted side ends with a clear error", arguments: Misdeed.allCases)
    func workers(misdeed: Misdeed) throws {
        let digest = model.checkpoint.digest()
        let link = RemoteLink(digest: digest, model: model.checkpoint.configuration) { _ in
            let (client, worker) = PipeStream.pair { _, _ in }
            Thread.detachNewThread { Self.serve(worker, digest, misdeed) }
            return client
        }
        #expect(throws: (any Error).self) { _ = try answer(model.engine(link), greedy([1, 2], 4)) }
    }

    private static func serve(_ bytes: PipeStream, _ digest: String, _ misdeed: Misdeed) {
        let stream = MessageStream(bytes)
        var hello = Hello(digest: digest)
        hello.window = 4
        var link = WorkerProtocol(hello: hello, largestTensor: 1 << 20)
        defer { bytes.close() }
        while let message = try? stream.receive(before: Deadline(after: .seconds(3_600)), begin: { _ in }) {
            guard let action = try? link.receive(message) else { return }
            guard case .serve(let request, let number) = action else {
                if case .send(var hello) = action {
                    // The window lies before the shard's two numbers.
                    if misdeed == .noWindow {
                        hello.fields.replaceSubrange(
                            hello.fields.count - 6..<hello.fields.count - 4, with: [0, 0])
                    }
                    try? stream.send(hello)
                }
                continue
            }
            // What has no rows is answered by the end of the connection, so that nobody waits.
            guard case .rows(let rows) = request.payload else { return }
            let same = EncodedTensor(resultOf: request, channels: rows.channels, values: rows.values)
            var reply = link.answer(.success(.tensor(same)), to: number)
            switch misdeed {
            case .garbage:
                let noise = [UInt8](repeating: 7, count: 100)
                try? unsafe noise.span.bytes.withUnsafeBytes { b throws(LinkError) in
                    try unsafe bytes.write(b, before: .never)
                }
                return
            case .wrongNumber: reply.head.number += 1
            case .wrongShape:
                reply = Message(head: reply.head, tensor: .floats(Array(rows.values.dropLast(rows.channels))))
                reply.head.rows -= 1
                if reply.head.rows == 0 { return }
            case .notNumbers:
                // Logits where logits are asked for, but none is a number.
                var channels = rows.channels
                if case .headTopK(let count) = request.operation { channels = count }
                reply.head.channels = channels
                reply.tensor = .floats(Array(repeating: .nan, count: rows.rows * channels))
            case .hangUp: return
            case .failure: reply = link.failure(.invalidRequest("not today"))
            case .twice: try? stream.send(reply)
            case .noWindow: return
            }
            try? stream.send(reply)
        }
    }
}

import Foundation
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

@Suite("several requests on their way to a worker", .timeLimit(.minutes(60)))
struct RequestsInFlightTests {
    let model: TinyModel
    var hidden: Int { model.checkpoint.configuration.hiddenSize }

    init() throws { model = try TinyModel("llama-gqa2") }

    func request(_ seed: Int, layer: Int = 0, rows: Int = 2) -> Request {
        let values = (0..<rows * hidden).map { Float(($0 * 31 + seed * 17) % 101) / 50 - 1 }
        return Request(
            .feedForward(layer: layer), EncodedTensor(encodedRows: rows, channels: hidden, values: values))
    }

    func server(window: Int) -> WorkerServer {
        var limits = WorkerServer.Limits()
        limits.window = window
        return model.server(limits)
    }

    @Test("each gets its own answer, more of them than the window, in any order", arguments: [1, 2, 4])
    func ownAnswers(window: Int) throws {
        let server = server(window: window)
        let link = model.link(to: { server })
        #expect(try link.hello().window == UInt16(window))
        let worker = Worker(model: model.decoder)
        for order in 0..<3 {
            let requests = (0..<11).map { request($0 + 100 * order) }
            var sent = try requests.enumerated().map { ($0.offset, try link.send($0.element)) }
            if order == 1 { sent.reverse() }
            if order == 2 { sent.sort { ($0.0 * 7) % 11 < ($1.0 * 7) % 11 } }
            for (i, sent) in sent { #expect(try link.receive(sent) == worker.answer(requests[i])) }
        }
        #expect(link.traffic.connections == 1 && link.traffic.exchanges == 33)
        #expect(link.traffic.bytesSent == 33 * 2 * hidden * 4)
        #expect(link.traffic.bytesReceived == 33 * 2 * hidden * 4)
        link.close()
    }

    @Test("one that is refused leaves the others and the connection alone")
    func refused() throws {
        let server = server(window: 4)
        let link = model.link(to: { server })
        let worker = Worker(model: model.decoder)
        for _ in 0..<20 {
            let requests = [request(1), request(2, layer: 99), request(3), request(4, layer: 98)]
            let sent = try requests.map { request throws(LinkError) in try link.send(request) }
            for i in [3, 0, 1, 2] {
                if i % 2 == 0 {
                    #expect(try link.receive(sent[i]) == worker.answer(requests[i]))
                } else {
                    #expect(throws: LinkError.invalidRequest("layer \(100 - (i + 1) / 2), the model has 2")) {
                        try link.receive(sent[i])
                    }
                }
            }
        }
        #expect(link.traffic.connections == 1)
        link.close()
    }

    @Test("large tensors go both ways at once")
    func large() throws {
        let server = server(window: 4)
        let link = RemoteLink(
            digest: model.checkpoint.digest(), model: model.checkpoint.configuration
        ) { _ throws(LinkError) in
            let (client, worker) = try SocketStream.pair()
            Thread.detachNewThread { server.serve(worker) }
            return client
        }
        let worker = Worker(model: model.decoder)
        // 8 MB each, many times what a socket takes.
        let requests = (0..<6).map { request($0, rows: 1 << 16) }
        let sent = try requests.map { request throws(LinkError) in try link.send(request) }
        for (request, sent) in zip(requests, sent) {
            let (found, expected) = (try link.receive(sent), try worker.answer(request))
            #expect(found == expected)
        }
        link.close()
    }

    /// What a worker of these tests does with the requests of its first connection.
    enum End: CaseIterable {
        /// It takes them and hangs up.
        case hangUp
        /// It answers the second, then hangs up.
        case answerOne
        /// It answers the second twice.
        case twice
        /// It answers the second, and one that was never asked.
        case unasked
        /// It answers that the connection ends.
        case farewell
    }

    /// A link to a worker whose first connection ends so after three requests.
    func brokenLink(_ end: End) -> RemoteLink {
        let (good, digest) = (server(window: 4), model.checkpoint.digest())
        let connections = Atomic(0)
        return RemoteLink(digest: digest, model: model.checkpoint.configuration) { _ in
            let (client, worker) = PipeStream.pair { _, _ in }
            let isFirst = connections.add(1, ordering: .relaxed).oldValue == 0
            Thread.detachNewThread {
                if isFirst { try? Self.serve(worker, digest, end) } else { good.serve(worker) }
            }
            return client
        }
    }

    private static func serve(_ bytes: PipeStream, _ digest: String, _ end: End) throws(LinkError) {
        defer { bytes.close() }
        let stream = MessageStream(bytes)
        var hello = Hello(digest: digest)
        hello.window = 4
        var link = WorkerProtocol(hello: hello, largestTensor: 1 << 20)
        var answers: [Message] = []
        for _ in 0..<4 {
            let message = try stream.receive(before: Deadline(after: .seconds(3_600))) {
                head throws(LinkError) in
                try link.begin(head)
            }
            switch try link.receive(message) {
            case .send(let hello): try stream.send(hello)
            case .serve(let request, let number):
                guard case .rows(let rows) = request.payload else { return }
                let same = EncodedTensor(resultOf: request, channels: rows.channels, values: rows.values)
                answers.append(link.answer(.success(.tensor(same)), to: number))
            }
        }
        switch end {
        case .hangUp: break
        case .answerOne: try stream.send(answers[1])
        case .twice: for _ in 0..<2 { try stream.send(answers[1]) }
        case .unasked:
            try stream.send(answers[1])
            var other = answers[0]
            other.head.number = 9
            try stream.send(other)
        case .farewell: try stream.send(link.failure(.timedOut("enough")))
        }
    }

    @Test(
        "a connection that ends fails every request on its way, and the next request makes another",
        arguments: End.allCases)
    func ends(_ end: End) throws {
        let link = brokenLink(end)
        let worker = Worker(model: model.decoder)
        let requests = (0..<3).map { request($0) }
        let sent = try requests.map { request throws(LinkError) in try link.send(request) }
        var first: LinkError?
        do throws(LinkError) { _ = try link.receive(sent[0]) } catch { first = error }
        switch end {
        case .hangUp, .answerOne: #expect(first == .disconnected("the other end is closed"))
        case .twice:
            #expect(first == .malformedFrame("an answer to request 3, which waits for none"))
        case .unasked:
            #expect(first == .malformedFrame("an answer to request 9, which waits for none"))
        case .farewell: #expect(first == .timedOut("enough"))
        }
        #expect(first?.losesWorker == true)
        // The answer to the second may have been there; it is lost with what the worker held.
        let lost = LinkError.disconnected("its answer was lost with its connection")
        #expect(throws: lost) { try link.receive(sent[1]) }
        #expect(link.traffic.connections == 1)
        #expect(try link.exchange(requests[0]) == worker.answer(requests[0]))
        #expect(link.traffic.connections == 2)
        // Requests of the first connection are not those of the second, whatever their numbers.
        let again = try link.send(requests[1])
        #expect(throws: lost) { try link.receive(sent[2]) }
        #expect(try link.receive(again) == worker.answer(requests[1]))
        #expect(link.traffic.connections == 2)
        link.close()
    }

    @Test("answers that nobody waits for any more are in nobody's way")
    func abandoned() throws {
        let server = server(window: 4)
        let link = model.link(to: { server })
        let worker = Worker(model: model.decoder)
        for i in 0..<50 {
            for j in 0..<3 { _ = try link.send(request(i + j)) }
            #expect(try link.exchange(request(i)) == worker.answer(request(i)))
        }
        #expect(link.traffic.connections == 1)
        link.close()
    }

    @Test("threads may share a link")
    func threads() async throws {
        let server = server(window: 3)
        let link = model.link(to: { server })
        let worker = Worker(model: model.decoder)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for thread in 0..<3 {
                let requests = (0..<20).map { request($0 + 1_000 * thread) }
                group.addTask {
                    let sent = try requests.map { request throws(LinkError) in try link.send(request) }
                    for (request, sent) in zip(requests, sent)
                    where try link.receive(sent) != worker.answer(request) { return false }
                    return true
                }
            }
            for try await right in group { #expect(right) }
        }
        #expect(link.traffic.exchanges == 60 && link.traffic.connections == 1)
        link.close()
    }

    @Test("an answer is received once")
    func once() async {
        await #expect(processExitsWith: .failure) {
            let tests = try RequestsInFlightTests()
            let server = tests.server(window: 4)
            let link = tests.model.link(to: { server })
            let sent = try link.send(tests.request(1))
            for _ in 0..<2 { _ = try link.receive(sent) }
        }
    }
}

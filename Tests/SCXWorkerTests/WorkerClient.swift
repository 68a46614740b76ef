import Foundation
import SCXInference
import SCXLink
import SCXWorker
import Synchronization
import Testing

/// A connection to a worker, driven message by message, and the worker that serves it on threads of its own.
///
/// One thread uses it at a time.
final class WorkerClient: @unchecked Sendable {
    static let digest = "00112233445566778899aabbccddeeff"

    let stream: MessageStream
    let hello: Hello
    private var link: ClientProtocol
    private let served: Served

    /// How the worker's side ended.
    private final class Served: Sendable {
        private let result = Mutex<LinkError??>(nil)

        func set(_ error: LinkError?) { result.withLock { $0 = .some(error) } }

        var value: LinkError?? { result.withLock { $0 } }
    }

    /// Connects and greets a worker that serves `model`, by default the fixture's usual one.
    init(_ server: WorkerServer, _ model: DecoderConfiguration? = nil) throws {
        let model = try model ?? WorkerFixture().configuration
        let (client, worker) = try SocketStream.pair()
        let served = Served()
        Thread.detachNewThread { served.set(server.serve(worker)) }
        self.served = served
        stream = MessageStream(client)
        var link = ClientProtocol(digest: Self.digest, model: model)
        try stream.send(link.hello())
        let reply = try stream.receive(before: Deadline(after: .seconds(3_600))) { head throws(LinkError) in
            try link.begin(head)
        }
        hello = try link.receiveHello(reply)
        self.link = link
    }

    var hasRoom: Bool { link.hasRoom }

    /// Sends a request, and gives its number.
    @discardableResult
    func send(_ request: Request) throws -> UInt64 {
        let message = try link.ask(request)
        try stream.send(message)
        return message.head.number
    }

    /// The next answer with its number, or the error that the worker answered with.
    func receive() throws -> (number: UInt64, result: Result<Answer, LinkError>) {
        let reply = try stream.receive(before: Deadline(after: .seconds(3_600))) { head throws(LinkError) in
            try link.begin(head)
        }
        do throws(LinkError) { return (reply.head.number, .success(try link.receive(reply))) } catch {
            return (reply.head.number, .failure(error))
        }
    }

    /// Answers by their requests' numbers.
    func receive(_ count: Int) throws -> [UInt64: Result<Answer, LinkError>] {
        var answers: [UInt64: Result<Answer, LinkError>] = [:]
        for _ in 0..<count {
            let (number, result) = try receive()
            #expect(answers[number] == nil)
            answers[number] = result
        }
        return answers
    }

    func exchange(_ request: Request) throws -> Answer {
        try send(request)
        return try receive().result.get()
    }

    func statistics() throws -> WorkerStatistics {
        guard case .statistics(let statistics) = try exchange(Request(.stats)) else {
            throw LinkError.unexpectedAnswer("no statistics")
        }
        return statistics
    }

    func close() { stream.bytes.close() }

    /// Why the worker's side ended, which this waits for.
    func end(within limit: Duration = .seconds(3_600)) throws -> LinkError? {
        let limit = ContinuousClock.now + limit
        while ContinuousClock.now < limit {
            if let end = served.value { return end }
            Thread.sleep(forTimeInterval: 0.001)
        }
        throw LinkError.timedOut("the worker still serves")
    }
}

extension WorkerFixture {
    func server(_ limits: WorkerServer.Limits = .init(), format: WeightFormat = .f32) -> WorkerServer {
        WorkerServer(worker: worker, digest: WorkerClient.digest, weights: format, limits: limits)
    }

    func ring(_ layer: Int, _ site: Site, rows: Int, seed: UInt64) -> Request {
        let inputs = model.inputs(of: DecoderSite(site, layer: layer))
        return Request(
            .linearRing(layer: layer, site: site),
            RingTensor(paddedRows: rows, channels: inputs, values: words(rows * inputs, seed: seed)))
    }
}

/// Words at random, the same in every run.
func words(_ count: Int, seed: UInt64) -> [UInt32] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt32(truncatingIfNeeded: state >> 32)
    }
}

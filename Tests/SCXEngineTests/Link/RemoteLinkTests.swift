import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

/// A small random checkpoint with its worker.
struct TinyModel: Sendable {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fixtures/parity")

    let checkpoint: Checkpoint
    let decoder: Decoder

    init(_ name: String) throws {
        checkpoint = try Checkpoint(directory: Self.folder.appending(path: name).path)
        decoder = try Decoder(checkpoint, format: .f32, pool: ThreadPool(threads: 2))
    }

    func server(_ limits: WorkerServer.Limits = .init()) -> WorkerServer {
        WorkerServer(
            worker: Worker(model: decoder), digest: checkpoint.digest(), weights: .f32, limits: limits)
    }

    /// A link whose every connection is served on a thread of its own.
    func link(
        to server: @escaping @Sendable () -> WorkerServer, digest: String? = nil,
        patience: RemoteLink.Patience = .init(),
        onWrite: @escaping @Sendable (PipeStream, Int) -> Void = { _, _ in }
    ) -> RemoteLink {
        RemoteLink(
            digest: digest ?? checkpoint.digest(), model: checkpoint.configuration,
            patience: patience
        ) { _ in
            let (client, worker) = PipeStream.pair(onWrite: onWrite)
            let server = server()
            Thread.detachNewThread { server.serve(worker) }
            return client
        }
    }

    func engine(_ link: any WorkerLink) throws -> Engine {
        Engine(
            forward: PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration, link: link
            ),
            tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength)
    }
}

/// Runs a request and gives its tokens.
func answer(_ engine: Engine, _ request: GenerationRequest) throws -> [Int32] {
    var tokens: [Int32] = []
    let id = try engine.submit(request)
    try engine.run(id) {
        tokens.append($0.token?.id ?? -1); return true
    }
    try engine.end(id)
    return tokens
}

@Suite("link to a worker")
struct RemoteLinkTests {
    @Test(
        "a worker behind the link gives the tokens of the same process",
        arguments: ["llama-gqa2", "mistral-window", "qwen2", "qwen3"])
    func sameTokens(name: String) throws {
        let model = try TinyModel(name)
        let here = try answer(
            model.engine(InProcessLink(Worker(model: model.decoder))), greedy([1, 2, 3], 12))
        let server = model.server()
        let there = try answer(model.engine(model.link(to: { server })), greedy([1, 2, 3], 12))
        #expect(there == here)
    }

    @Test("connections that break at random moments change no token")
    func breaks() throws {
        let model = try TinyModel("llama-gqa2")
        let here = InProcessLink(Worker(model: model.decoder))
        let server = model.server()
        let breaks = Atomic(0)
        // Each connection ends after a random number of bytes, in the middle of a frame or between two.
        let limit = Mutex(0)
        let link = model.link(to: { server }) { stream, sent in
            let end = limit.withLock { limit in
                if sent == 0 { limit = Int.random(in: 2_500...12_000) }
                return limit
            }
            if sent > end {
                breaks.add(1, ordering: .relaxed)
                stream.close()
            }
        }
        let engine = try model.engine(link)
        let reference = try model.engine(here)
        for round in 0..<30 {
            let prompt = (0...round % 7).map { Int32(($0 * 13 + round) % 90) }
            #expect(try answer(engine, greedy(prompt, 10)) == answer(reference, greedy(prompt, 10)))
        }
        #expect(breaks.load(ordering: .relaxed) > 5)
    }

    @Test("a worker with another model is refused with both digests")
    func otherModel() throws {
        let model = try TinyModel("qwen2")
        let server = model.server()
        let link = model.link(to: { server }, digest: "00")
        do throws(LinkError) {
            try link.open()
            Issue.record("another model was taken")
        } catch {
            guard case .incompatible = error else { throw error }
        }
    }

    @Test("what a worker says of itself is looked at whenever it is connected to")
    func accepted() throws {
        let model = try TinyModel("qwen2")
        let server = model.server()
        let count = Mutex(0)
        let streams = Mutex<[PipeStream]>([])
        let link = RemoteLink(
            digest: model.checkpoint.digest(), model: model.checkpoint.configuration,
            connect: { _ in
                let (client, worker) = PipeStream.pair(onWrite: { _, _ in })
                streams.withLock { $0.append(client) }
                Thread.detachNewThread { server.serve(worker) }
                return client
            },
            accept: { hello throws(LinkError) in
                let isFirst = count.withLock { count in
                    count += 1
                    return count == 1
                }
                // The worker has float weights: no peer.
                if !isFirst { try PeerPads.check(hello, at: "unix:peer") }
            })
        _ = try link.exchange(Request(.stats))
        streams.withLock { $0[0] }.close()
        // The first meets the end of the connection, or already the refusal.
        var error: LinkError?
        for _ in 0..<2 {
            do throws(LinkError) { _ = try link.exchange(Request(.stats)) } catch let found { error = found }
        }
        guard case .incompatible(let reason) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(
            reason == "'--pads peer:unix:peer' has f32 weights, and pads need a worker with '--weights int8'")
    }

    /// A stream whose other end falls silent when it is told to; it says how long was waited.
    private final class SilentStream: ByteStream {
        private let inner: any ByteStream
        private let waited = Mutex<[Duration]?>(nil)
        init(_ inner: any ByteStream) { self.inner = inner }

        /// How long was waited since ``fallSilent()``.
        var waits: [Duration] { waited.withLock { $0 ?? [] } }
        func fallSilent() { waited.withLock { $0 = [] } }

        @unsafe func read(
            _ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline
        ) throws(LinkError) {
            let isSilent = waited.withLock { waits in
                guard waits != nil else { return false }
                waits?.append(deadline.remaining ?? .seconds(1e9))
                return true
            }
            if isSilent { throw .timedOut("silent") }
            try unsafe inner.read(buffer, before: deadline)
        }

        @unsafe func write(_ buffer: UnsafeRawBufferPointer, before deadline: Deadline) throws(LinkError) {
            try unsafe inner.write(buffer, before: deadline)
        }

        func close() { inner.close() }
    }

    @Test("an answer is waited for no longer than is allowed, by who asks and by the link's patience")
    func limits() throws {
        let model = try TinyModel("qwen2")
        let server = model.server()
        for (limit, longest) in [(12, 12), (1_000, 300), (nil, 300)] as [(Int?, Int)] {
            let (client, worker) = PipeStream.pair(onWrite: { _, _ in })
            Thread.detachNewThread { server.serve(worker) }
            let stream = SilentStream(client)
            let link = RemoteLink(
                digest: model.checkpoint.digest(), model: model.checkpoint.configuration
            ) { _ in stream }
            try link.open()
            stream.fallSilent()
            let sent = try link.send(Request(.stats))
            let error = #expect(throws: LinkError.self) {
                if let limit {
                    _ = try link.receive(sent, within: .seconds(limit))
                } else {
                    _ = try link.receive(sent)
                }
            }
            guard case .timedOut = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(stream.waits.count == 1 && stream.waits.allSatisfy { $0 <= .seconds(longest) })
            link.close()
        }
    }

    @Test("several connections at once get their own answers, from shared products")
    func batches() async throws {
        let model = try TinyModel("llama-gqa2")
        let server = model.server()
        let reference = try model.engine(InProcessLink(Worker(model: model.decoder)))
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for client in 0..<4 {
                let prompt = (0...client).map { Int32($0 * 7 + client) }
                let expected = try answer(reference, greedy(prompt, 20))
                group.addTask {
                    let engine = try model.engine(model.link(to: { server }))
                    for _ in 0..<5 where try answer(engine, greedy(prompt, 20)) != expected { return false }
                    return true
                }
            }
            for try await right in group { #expect(right) }
        }
    }

    @Test("a connection beyond the limit is told so, and the others go on")
    func tooMany() throws {
        let model = try TinyModel("qwen3")
        var limits = WorkerServer.Limits()
        limits.connections = 1
        let server = model.server(limits)
        let first = model.link(to: { server })
        try first.open()
        var patience = RemoteLink.Patience()
        patience.connect = .seconds(1)
        let second = model.link(to: { server }, patience: patience)
        do throws(LinkError) {
            try second.open()
            Issue.record("two connections were served")
        } catch {
            guard case .unreachable(let reason) = error else { throw error }
            #expect(reason.contains("full"))
        }
        #expect(try answer(model.engine(first), greedy([5], 3)).count == 3)
        first.close()
    }

    @Test(
        "while one thread connects anew, others learn at once that their answers are lost")
    func reconnecting() throws {
        let model = try TinyModel("llama-gqa2")
        let server = model.server()
        let made = Mutex(0)
        let (begun, allowed) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let link = RemoteLink(
            digest: model.checkpoint.digest(), model: model.checkpoint.configuration
        ) { _ in
            let number = made.withLock { made in
                made += 1
                return made
            }
            if number > 1 {
                begun.signal()
                allowed.wait()
            }
            let (client, worker) = PipeStream.pair(onWrite: { _, _ in })
            Thread.detachNewThread { server.serve(worker) }
            return client
        }
        _ = try link.exchange(Request(.stats))
        let sent = try link.send(Request(.stats))
        link.close()
        #expect(throws: LinkError.self) { try link.exchange(Request(.stats)) }
        #expect(throws: LinkError.self) { try link.receive(sent) }
        let thread = Thread { try? link.connect() }
        thread.start()
        begun.wait()
        // The other thread waits to be allowed, and these do not wait for it.
        #expect(link.traffic.connections == 1 && link.traffic.exchanges == 1)
        #expect(throws: LinkError.self) { try link.receive(sent) }
        allowed.signal()
        _ = try link.exchange(Request(.stats))
        #expect(link.traffic.connections == 2 && link.traffic.exchanges == 2)
        link.close()
    }

    @Test("a worker that is never there is given up after the time allowed")
    func nobody() throws {
        let model = try TinyModel("llama-gqa2").checkpoint.configuration
        var patience = RemoteLink.Patience()
        patience.connect = .milliseconds(150)
        let link = RemoteLink(digest: "00", model: model, patience: patience) { _ throws(LinkError) in
            throw .disconnected("connection refused")
        }
        #expect(throws: LinkError.unreachable("the connection is gone: connection refused")) {
            try link.open()
        }
    }
}

import CSCXSystem
import Foundation
import SCXInference
import SCXLink
import SCXWorker
import Synchronization

/// A byte stream that delivers an input and then ends, and that stores what is written to it.
final class FuzzStream: ByteStream {
    private let unread: Mutex<ArraySlice<UInt8>>
    private let sent = Mutex<[UInt8]>([])

    init(_ input: [UInt8] = []) { unread = Mutex(input[...]) }

    /// All bytes that were written to the stream, at most the first MiB or so.
    var written: [UInt8] { sent.withLock { $0 } }

    @unsafe func read(_ buffer: UnsafeMutableRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        let part: ArraySlice<UInt8>? = unread.withLock { unread in
            guard unread.count >= buffer.count else {
                unread = []
                return nil
            }
            defer { unread = unread.dropFirst(buffer.count) }
            return unread.prefix(buffer.count)
        }
        guard let part else { throw .disconnected("the stream ended") }
        unsafe buffer.copyBytes(from: part)
    }

    @unsafe func write(_ buffer: UnsafeRawBufferPointer, before deadline: Deadline) throws(LinkError) {
        // The answers to one input may be long; their beginning is enough.
        sent.withLock { if $0.count < 1 << 20 { unsafe $0.append(contentsOf: buffer) } }
    }

    func close() { unread.withLock { $0 = [] } }
}

/// Two workers with a small model, one in float32 and one with int8 weights for `linearRing`, and requests to them.
struct FuzzWorkers {
    private static let digest = "00112233445566778899aabbccddeeff"

    private let servers: [WorkerServer]
    private let requests: [Request]
    private let model: DecoderConfiguration

    init(_ checkout: String) throws {
        let checkpoint = try Checkpoint(directory: "\(checkout)/Tests/Fixtures/parity/llama-gqa2")
        let pool = ThreadPool(threads: 1)
        var limits = WorkerServer.Limits()
        limits.tensorBytes = 1 << 24
        var most = Worker.Limits()
        (most.slots, most.slotBytes, most.answerBytes) = (4, 1 << 24, 1 << 24)
        servers = try [WeightFormat.f32, .int8].map { format in
            WorkerServer(
                worker: Worker(model: try Decoder(checkpoint, format: format, pool: pool), limits: most),
                digest: Self.digest, weights: format, limits: limits)
        }
        let configuration = checkpoint.configuration
        model = configuration
        let hidden = configuration.hiddenSize
        let slot = Slot(number: 1)
        // These numbers do not depend on any text, so they need no encoding.
        func rows(_ count: Int, _ channels: Int) -> EncodedTensor {
            let values = (0..<count * channels).map { Float($0 % 7) - 3 }
            return EncodedTensor(resultOf: Request(.stats), channels: channels, values: values)
        }
        let ring = RingTensor(
            paddedRows: 2, channels: hidden, values: (0..<2 * hidden).map { UInt32($0 &* 77_777) })
        requests = [
            Request(.stats),
            Request(.linear(layer: 0, site: .queryKeyValue, slot: slot, exact: false), rows(3, hidden)),
            Request(.linear(layer: 0, site: .gateUp, slot: nil, exact: true), rows(2, hidden)),
            Request(.feedForward(layer: 1), rows(2, hidden)),
            Request(
                .middle(
                    blocks: 0..<configuration.blockCount,
                    segments: [Segment(slot: slot, position: 0, rows: 3)]),
                rows(3, hidden)),
            Request(.headTopK(count: 3), rows(1, hidden)),
            Request(.linearRing(layer: 0, site: .gateUp), ring),
            Request(
                .padProducts(
                    layer: 0, site: .output, seed: PadSeed(bytes: [UInt8](repeating: 7, count: 32)), first: 5,
                    rows: 3)),
            Request(.release(slot: slot)),
        ]
    }

    /// The requests in groups of three; a client sends those of one group at once.
    private var groups: [ArraySlice<Request>] {
        stride(from: 0, to: requests.count, by: 3).map { requests[$0..<min($0 + 3, requests.count)] }
    }

    /// The bytes that a client sends in a conversation, for each group: a hello, and then the group's requests.
    func conversations() throws -> [[UInt8]] {
        try groups.map { group in
            let stream = FuzzStream()
            let messages = MessageStream(stream)
            var client = ClientProtocol(digest: Self.digest, model: model)
            try messages.send(client.hello())
            for (i, request) in group.enumerated() {
                try messages.send(request.message(number: UInt64(i + 2)))
            }
            return stream.written
        }
    }

    /// The bytes that one of the workers answers to a client that sends `input`.
    func answers(_ input: [UInt8], ring: Bool) -> [UInt8] {
        let stream = FuzzStream(input)
        servers[ring ? 1 : 0].serve(stream)
        return stream.written
    }

    /// Reads `input` as a client reads a worker's answers, once for each group of requests, until one group has all of
    /// its answers.
    ///
    /// - Throws: The error of the last group, when no group got all of its answers.
    func read(_ input: [UInt8]) throws {
        var failure: (any Error)?
        for group in groups {
            do { return try read(input, group) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func read(_ input: [UInt8], _ group: ArraySlice<Request>) throws {
        let messages = MessageStream(FuzzStream(input))
        var client = ClientProtocol(digest: Self.digest, model: model)
        _ = client.hello()
        func next() throws -> Message {
            try messages.receive(before: .never) { head throws(LinkError) in try client.begin(head) }
        }
        _ = try client.receiveHello(next())
        var asked = 0
        for request in group where client.hasRoom {
            _ = try client.ask(request)
            asked += 1
        }
        for _ in 0..<asked {
            let message = try next()
            // A refusal of one request by the worker leaves the connection open.
            do { _ = try client.receive(message) } catch { guard client.isOpen else { throw error } }
        }
    }
}

/// Reads, as a worker does, the bytes that a client sends.
struct FramesTarget: FuzzTarget {
    private let workers: FuzzWorkers
    let seeds: [[UInt8]]

    init(_ checkout: String) throws {
        workers = try FuzzWorkers(checkout)
        let link = "\(checkout)/Tests/Fixtures/link"
        seeds = try workers.conversations() + FuzzFixtures.files("\(link)/swift", "messages.bin")
    }

    func run(_ input: [UInt8]) {
        for ring in [false, true] { _ = workers.answers(input, ring: ring) }
    }
}

/// Reads, as a client does, the bytes that a worker answers.
struct AnswersTarget: FuzzTarget {
    private let workers: FuzzWorkers
    let seeds: [[UInt8]]

    init(_ checkout: String) throws {
        let workers = try FuzzWorkers(checkout)
        self.workers = workers
        seeds = try workers.conversations().flatMap { conversation in
            [false, true].map { workers.answers(conversation, ring: $0) }
        }
    }

    func run(_ input: [UInt8]) throws { try workers.read(input) }
}

/// Reads from and writes to rings in shared memory whose first page, with the ring's counters, another process has
/// written.
struct MemoryTarget: FuzzTarget {
    private static let ringBytes = 1 << 12
    private static let headBytes = 4096

    /// The preamble of 16 bytes, the eight words of the first page for the first and for the second use, then bytes of
    /// a ring.
    let seeds: [[UInt8]] = [
        Array("SCXSHM01".utf8) + [0, 16, 0, 0, 0, 0, 0, 0]
            + [64, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 56)
            + [0, 1, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 56) + Array(0..<200)
    ]
    let longest = 1 << 12

    init(_ folder: String) throws {}

    func run(_ input: [UInt8]) throws {
        var ends: [Int32] = [-1, -1]
        guard unsafe cscx_socket_pair(&ends) == 0 else { return }
        let count = Self.headBytes + 2 * Self.ringBytes
        let descriptor = cscx_memory_create(count)
        guard descriptor >= 0, let memory = unsafe cscx_memory_map(descriptor, count) else { return }
        defer {
            unsafe cscx_memory_unmap(memory, count)
            cscx_close(descriptor)
            cscx_close(ends[0])
        }
        let accepted = try SocketStream(descriptor: ends[1], name: "a peer")
        defer { accepted.close() }
        let preamble = Array(input.prefix(16))
        _ = unsafe preamble.withUnsafeBytes {
            unsafe cscx_send_descriptor(ends[0], $0.baseAddress, $0.count, descriptor)
        }
        let stream = try SharedMemoryStream.accept(upgrading: accepted, before: Deadline(after: .zero))
        defer { stream.close() }
        let body = input.dropFirst(16)
        unsafe UnsafeMutableRawBufferPointer(start: memory + Self.headBytes, count: 2 * Self.ringBytes)
            .copyBytes(from: body.dropFirst(128).prefix(2 * Self.ringBytes))
        for step in 0..<2 {
            unsafe Self.write(Array(body.dropFirst(64 * step).prefix(64)), to: memory)
            Self.use(stream)
        }
    }

    /// Writes the eight words of the first page, 128 bytes apart.
    @unsafe private static func write(_ words: [UInt8], to memory: UnsafeMutableRawPointer) {
        for word in 0..<(words.count / 8) {
            var value: UInt64 = 0
            for i in 0..<8 { value |= UInt64(words[8 * word + i]) << UInt64(8 * i) }
            unsafe cscx_store64(memory + word * 128, value)
        }
    }

    /// Reads some bytes and writes some, without waiting.
    private static func use(_ stream: any ByteStream) {
        let soon = Deadline(after: .zero)
        var room = [UInt8](repeating: 0, count: 64)
        var span = room.mutableSpan
        do throws(LinkError) {
            try unsafe span.withUnsafeMutableBytes { b throws(LinkError) in
                try unsafe stream.read(b, before: soon)
            }
        } catch {}
        do throws(LinkError) {
            try unsafe room.span.bytes.withUnsafeBytes { b throws(LinkError) in
                try unsafe stream.write(b, before: soon)
            }
        } catch {}
    }
}

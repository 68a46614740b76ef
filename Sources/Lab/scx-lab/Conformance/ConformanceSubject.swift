import Foundation
import SCXInference
import SCXLink
import Synchronization

/// The worker that is tested, with the answers that it must give.
final class ConformanceSubject: Sendable {
    /// What a run is told of the worker.
    struct Settings: Sendable {
        let place: TestedPlace
        /// The worker's process, when this program starts it.
        var process: LabProcess?
        /// How long to wait for anything that the worker must do.
        var patience = Duration.seconds(60)
        /// The largest difference of two float32 numbers, as a share of the answer's largest; nil for that of the weights.
        var tolerance: Double?
    }

    let settings: Settings
    let digest: String
    let model: DecoderConfiguration
    /// What the worker said of itself.
    let hello: WorkerHello
    let reference: ConformanceReference
    let tolerance: Double
    private let connections = Atomic<UInt64>(1)

    /// Connects to the worker, reads its hello, and loads the model as the worker holds it.
    ///
    /// - Parameters:
    ///   - settings: Where the worker is.
    ///   - checkpoint: The model that it serves.
    ///   - pool: Computes the reference's answers.
    /// - Throws: An error that says why there is no worker, or what is wrong with its hello or the model.
    init(_ settings: Settings, _ checkpoint: Checkpoint, pool: ThreadPool) throws {
        self.settings = settings
        digest = checkpoint.digest()
        model = checkpoint.configuration
        let client = WireClient(
            try settings.place.connect(before: Deadline(after: settings.patience)),
            patience: settings.patience)
        defer { client.close() }
        let answer = try client.ask(WireRequest(.hello, WorkerHello.client(digest: digest)))
        if answer.head.kind == .failure {
            let failure = try WireClient.failure(answer)
            throw ConformanceFailure(
                "the worker refuses this client: failure \(failure.code), \(failure.reason)")
        }
        hello = try WorkerHello(answer)
        reference = try ConformanceReference(checkpoint, hello, pool: pool)
        tolerance = settings.tolerance ?? reference.tolerance
    }

    var patience: Duration { settings.patience }
    var process: LabProcess? { settings.process }

    /// Bytes of the largest tensor that the worker takes.
    var largestTensor: Int { hello.largestTensor }

    /// Makes a connection on which nothing was said.
    func connect() throws(LinkError) -> WireClient {
        WireClient(try settings.place.connect(before: Deadline(after: patience)), patience: patience)
    }

    /// Makes a connection, and says hello.
    func open() throws -> WireClient { try greet(connect()) }

    /// Says hello on a new connection.
    func greet(_ client: WireClient) throws -> WireClient {
        let answer = try client.ask(WireRequest(.hello, WorkerHello.client(digest: digest)))
        guard answer.head.kind == .hello else {
            let failure = try WireClient.failure(answer)
            throw ConformanceFailure("hello is refused: failure \(failure.code), \(failure.reason)")
        }
        return client
    }

    /// A connection whose answers are compared with the reference's.
    func session() throws -> ComparedSession { session(try open()) }

    /// A session on a connection on which hello was said.
    func session(_ client: WireClient) -> ComparedSession {
        ComparedSession(
            client, reference, number: connections.add(1, ordering: .relaxed).newValue, tolerance: tolerance)
    }

    /// Checks that a new connection is answered rightly.
    func proveServing() throws {
        let session = try session()
        defer { session.close() }
        do { try session.compare(good(rows: 2, seed: 9)) } catch {
            throw ConformanceFailure("afterwards a good request is not answered rightly: \(error)")
        }
    }

    /// Checks that malformed bytes end a connection as they must, and no other.
    ///
    /// - Parameters:
    ///   - code: The failure that is demanded.
    ///   - isGreeting: Whether the bytes come in place of a hello.
    ///   - bytes: Makes the bytes for the number that the next request must have.
    /// - Throws: ``ConformanceFailure`` when the worker does something else.
    func refuses(
        code: UInt16 = 4, isGreeting: Bool = false, _ bytes: (_ number: UInt64) throws -> [UInt8]
    ) throws {
        let client = isGreeting ? try connect() : try open()
        defer { client.close() }
        let number = client.nextNumber()
        client.tryToWrite(try bytes(number))
        try client.expectEnd(code: code, number: number, mayBeSilent: settings.place.losesLastWords)
    }

    /// A request that every worker of the model can answer and that changes nothing.
    func good(rows: Int, seed: UInt64) -> WireRequest {
        var numbers = SampleNumbers(seed: seed)
        let site = smallSite
        let count = rows * model.inputs(of: site)
        return hello.isRing
            ? .linearRing(site.named.layer, site.named.site.rawValue, numbers.words(count), rows: rows)
            : .linear(site.named.layer, site.named.site.rawValue, numbers.floats(count), rows: rows)
    }

    /// A site of one matrix.
    var smallSite: DecoderSite { model.sites.first { model.groups(of: $0) == 1 } ?? .head }

    /// Of each kind of site the first and the last.
    var sites: [DecoderSite] {
        var found: [Site: (first: DecoderSite, last: DecoderSite)] = [:]
        for site in model.sites { found[site.named.site] = (found[site.named.site]?.first ?? site, site) }
        return Site.allCases.compactMap { found[$0] }.flatMap {
            $0.first == $0.last ? [$0.first] : [$0.first, $0.last]
        }
    }

    /// Skips a check of float32 requests, which a worker with a part of each site refuses.
    func needsWhole() throws {
        guard hello.shard == .whole else { throw ConformanceSkip("the worker holds a part of each site") }
    }

    /// Skips a check of a decoder's blocks where there are none.
    func needsBlocks() throws {
        try needsWhole()
        guard model.blockCount > 0 else {
            throw ConformanceSkip("the model has no blocks beside those for pictures")
        }
        guard model.maximumLength >= 16 else {
            throw ConformanceSkip("the model has only \(model.maximumLength) positions")
        }
    }

    /// Skips a check of sessions that go on, which models whose tokens attend to later ones do not have.
    func needsCausal() throws {
        try needsBlocks()
        guard model.isCausal else { throw ConformanceSkip("the model's tokens attend to later ones") }
    }

    /// Skips a check of keys and values that are kept apart, and of tails.
    func needsKeys() throws {
        try needsCausal()
        guard model.latent == nil else { throw ConformanceSkip("the model has latent attention") }
    }

    /// Skips a check of products of integers.
    func needsRing() throws {
        guard hello.isRing else { throw ConformanceSkip("the worker's hello says ring 0") }
    }
}

/// The hello of the tested worker.
struct WorkerHello: Sendable {
    let version: UInt16
    let digest: String
    let weights: String
    let isRing: Bool
    let window: Int
    let shard: Shard
    /// The largest tensor in bytes: 256 MiB unless the hello says otherwise.
    let largestTensor: Int

    /// The fields of a client's hello, as far as every version 4 knows them.
    static func client(digest: String, version: UInt16 = 4) -> [UInt8] {
        wire(version) + wire(digest) + wire("") + [0] + wire(UInt16(0)) + wire(UInt16(0)) + wire(UInt16(1))
    }

    /// Reads and checks the answer to a hello.
    init(_ message: Message) throws {
        try demand(message.head.kind == .hello, "hello is answered by '\(message.head.kind)'")
        try demand(message.tensor == .none, "the worker's hello has a tensor")
        try demand(
            message.fields.count <= 4096, "the worker's hello has \(message.fields.count) bytes of fields")
        var rest = message.fields[...]
        func take<Number: FixedWidthInteger>(_: Number.Type) throws -> Number {
            let width = Number.bitWidth / 8
            try demand(rest.count >= width, "the worker's hello ends early")
            defer { rest = rest.dropFirst(width) }
            return rest.prefix(width).reversed().reduce(0) { $0 << 8 | Number($1) }
        }
        func name() throws -> String {
            let count = Int(try take(UInt16.self))
            try demand(count <= 128 && rest.count >= count, "a text of \(count) bytes in the worker's hello")
            defer { rest = rest.dropFirst(count) }
            let text = rest.prefix(count)
            try demand(
                text.allSatisfy { (0x20...0x7E).contains($0) }, "a text in the worker's hello is no name")
            return String(decoding: text, as: UTF8.self)
        }
        version = try take(UInt16.self)
        try demand(version == 4, "the worker's version is \(version)")
        (digest, weights) = (try name(), try name())
        let ring = try take(UInt8.self)
        try demand(ring <= 1, "ring \(ring) in the worker's hello")
        isRing = ring == 1
        window = Int(try take(UInt16.self))
        try demand(window > 0, "the worker's window is 0")
        let (index, count) = (Int(try take(UInt16.self)), Int(try take(UInt16.self)))
        guard let shard = Shard(index: index, of: count) else {
            throw ConformanceFailure("shard \(index) of \(count) in the worker's hello")
        }
        self.shard = shard
        guard !rest.isEmpty else {
            largestTensor = Hello.usualLargestTensor
            return
        }
        let largest = try take(UInt64.self)
        try demand(largest > 0, "the worker's hello says that it takes no tensor")
        largestTensor = Int(clamping: largest)
    }
}

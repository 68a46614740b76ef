import Foundation
import SCXEncoding
import SCXInference
import SCXLink
import Synchronization
import Testing

/// A model of three small sites, and what the tests of pads need around it.
enum PadFixture {
    static let digest = "0123456789abcdef0123456789abcdef"
    static let blocks = 1

    /// Sites and their weights.
    struct Model: Sendable {
        let sites: [RingSite]
        let source: Source
        let weights: [DecoderSite: PackedMatrix]
    }

    /// The weights of a site, `[outputs, inputs]`: integers from −127 to 127.
    static func values(inputs: Int, outputs: Int) -> [Float] {
        (0..<outputs * inputs).map { Float(($0 &* 7919) % 255) - 127 }
    }

    /// Multiplies pads by the weights of its sites.
    final class Source: PadSource {
        let kind: PadSourceKind
        let name: String
        let key: [UInt8]?
        private let weights: [DecoderSite: PackedMatrix]
        private let pool = ThreadPool(threads: 1)
        private let counter = Mutex(0)
        /// Added to every word: not 0 for a source that lies.
        private let error: UInt32

        init(
            _ weights: [DecoderSite: PackedMatrix], kind: PadSourceKind = .direct, name: String = "direct",
            error: UInt32 = 0, key: [UInt8]? = nil
        ) {
            (self.weights, self.kind, self.name, self.error, self.key) = (weights, kind, name, error, key)
        }

        /// The same weights under another name.
        func named(
            _ kind: PadSourceKind, _ name: String, error: UInt32 = 0, key: [UInt8]? = nil
        ) -> Source {
            Source(weights, kind: kind, name: name, error: error, key: key)
        }

        /// Times that it was asked.
        var asked: Int { counter.withLock { $0 } }

        func products(_ site: RingSite, seed: PadSeed, rows: Int) throws(LinkError) -> SecretBuffer<UInt32> {
            counter.withLock { $0 += 1 }
            return multiply(site, seed: seed, rows: 0..<rows)
        }

        func multiply(_ site: RingSite, seed: PadSeed, rows: Range<Int>) -> SecretBuffer<UInt32> {
            var pads = SecretBuffer<UInt32>(repeating: 0, count: rows.count * site.inputs)
            var words = pads.mutableSpan
            seed.expand(
                rows: UInt64(rows.lowerBound)..<UInt64(rows.upperBound), inputs: site.inputs, into: &words)
            var products = SecretBuffer<UInt32>(repeating: 0, count: rows.count * site.outputs)
            var out = products.mutableSpan
            multiply(pads.span, site, into: &out)
            for i in out.indices { out[i] &+= error }
            return products
        }

        func multiply(_ rows: Span<UInt32>, _ site: RingSite, into out: inout MutableSpan<UInt32>) {
            guard let weights = weights[site.site] else { preconditionFailure("no such site") }
            ringLinear(rows, weights, into: &out, tokens: rows.count / site.inputs, pool: pool)
        }
    }

    /// Three sites with these inputs and outputs; the weights are always the same.
    static func model(_ shapes: [(inputs: Int, outputs: Int)] = [(12, 8), (8, 12), (12, 16)]) throws -> Model
    {
        let names: [DecoderSite] = [.queryKeyValue(block: 0), .down(block: 0), .head]
        let pool = ThreadPool(threads: 1)
        var random = SecureRandom()
        var sites: [RingSite] = []
        var weights: [DecoderSite: PackedMatrix] = [:]
        for (name, shape) in zip(names, shapes) {
            let matrix = try PackedMatrix(rows: shape.outputs, columns: shape.inputs, format: .int8)
            let values = values(inputs: shape.inputs, outputs: shape.outputs)
            unsafe matrix.pack(values.span.bytes, as: .f32, firstRow: 0, count: shape.outputs, pool: pool)
            weights[name] = matrix
            sites.append(RingSite(name, weights: matrix, bias: [], random: &random, pool: pool))
        }
        return Model(sites: sites, source: Source(weights), weights: weights)
    }

    /// A store, and the lines that it warned with.
    struct Opened {
        let store: PadStore
        let warnings: Lines
    }

    final class Lines: Sendable {
        private let state = Mutex<[String]>([])
        var all: [String] { state.withLock { $0 } }
        func add(_ line: String) { state.withLock { $0.append(line) } }
    }

    /// Keeps the place while there is the store.
    static func open(
        _ place: Place, digest: String = Self.digest, observer: @escaping PadStore.Observer = { _ in 0 }
    ) throws -> Opened {
        try open(place.path, digest: digest) { step in
            withExtendedLifetime(place) { observer(step) }
        }
    }

    static func open(
        _ path: String, registry: String? = nil, digest: String = Self.digest,
        observer: @escaping PadStore.Observer = { _ in 0 }
    ) throws -> Opened {
        let lines = Lines()
        let store = try PadStore(
            directory: path, registry: registry ?? path + Place.registryEnding, digest: digest,
            blocks: blocks, observer: observer
        ) { lines.add($0) }
        return Opened(store: store, warnings: lines)
    }

    /// A path that does not exist yet, removed in the end; in memory where the system has such files.
    final class Place: Sendable {
        let path: String

        init() {
            let memory = "/dev/shm"
            let base =
                FileManager.default.isWritableFile(atPath: memory)
                ? memory : FileManager.default.temporaryDirectory.path
            path = "\(base)/scx-\(UUID().uuidString)"
        }

        deinit {
            for path in [path, registry] { try? FileManager.default.removeItem(atPath: path) }
        }

        /// Where it is kept what was used of the bank.
        static let registryEnding = ".banks"
        var registry: String { path + Self.registryEnding }

        /// The bank's file there.
        func registryFile() throws -> String {
            let names = try FileManager.default.contentsOfDirectory(atPath: registry)
            return try #require(names.count == 1 ? "\(registry)/\(names[0])" : nil)
        }

        func files(_ ending: String = ".pads") throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(ending) }.sorted()
                .map { "\(path)/\($0)" }
        }
    }

    static func read(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

    /// Writes over a file, which stays the same one, or makes one that its owner alone can read.
    static func overwrite(_ data: Data, _ path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { return try write(data, path) }
        let handle = try FileHandle(forWritingTo: URL(filePath: path))
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: data)
        try handle.close()
    }

    /// The number of a file on its disk.
    static func node(_ path: String) throws -> UInt64? {
        try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? UInt64
    }

    /// Writes into a file where it lies, or a new one that its owner alone can read.
    static func write(_ data: Data, _ path: String) throws {
        try data.write(to: URL(filePath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    }
}

/// One pad: a seed and the number of a row.
struct PadIdentity: Hashable, Sendable {
    let seed: [UInt8]
    let row: Int
}

extension StoredPads {
    /// The pads that these are.
    borrowing func identities(_ site: RingSite) -> [PadIdentity] {
        let (seed, first) = (seed.bytes, first)
        return (0..<products.count / site.outputs).map { PadIdentity(seed: seed, row: first + $0) }
    }

    /// Whether the products are those of the seed's rows.
    borrowing func isRight(_ site: RingSite, _ source: PadFixture.Source) -> Bool {
        let rows = products.count / site.outputs
        let right = source.multiply(site, seed: seed, rows: first..<first + rows)
        return (0..<right.count).allSatisfy { right.span[$0] == products.span[$0] }
    }
}

extension PadStore {
    /// Adds a batch with a seed of its own.
    func fill(_ site: RingSite, _ source: PadFixture.Source, rows: Int = 3, first: Int = 0) throws {
        var random = SecureRandom()
        let seed = random.padSeed()
        let products = source.multiply(site, seed: seed, rows: first..<first + rows)
        try add(products.span, seed: seed, first: first, site: site, maker: PadMaker(source))
    }

    /// Takes a batch and says which pads it has; nil when there is none, empty when a product is wrong.
    func takeIdentities(_ site: RingSite, _ source: PadFixture.Source) -> [PadIdentity]? {
        guard let pads = take(site) else { return nil }
        return pads.isRight(site, source) ? pads.identities(site) : []
    }

    /// Takes all that there is.
    func drain(_ model: PadFixture.Model) -> [PadIdentity] {
        var all: [PadIdentity] = []
        for site in model.sites {
            while let pads = takeIdentities(site, model.source) { all += pads }
        }
        return all
    }
}

import Foundation
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker

/// A random model of five blocks, its worker's decoder and its profile.
struct ScxFixture: Sendable {
    let checkpoint: Checkpoint
    let decoder: Decoder
    let profile: ModelProfile

    /// One for each family, made once.
    static let families: [String: ScxFixture] = {
        var fixtures: [String: ScxFixture] = [:]
        for shape in SyntheticShape.all where shape.name.hasPrefix("tiny-") {
            var configuration = shape.configuration
            configuration.blockCount = 5
            configuration.maximumLength = 4096
            configuration.slidingWindows = Array(repeating: configuration.slidingWindows[0], count: 5)
            fixtures[configuration.family.rawValue] = try? ScxFixture(configuration)
        }
        return fixtures
    }()

    static let pool = ThreadPool(threads: 2)

    init(_ configuration: DecoderConfiguration, weights: WeightFormat = .f32, seed: UInt64 = 7) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scx-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try SyntheticCheckpoint.write(
            SyntheticShape(name: "test", configuration: configuration), to: folder, seed: seed, type: .f32,
            pool: Self.pool)
        try self.init(directory: folder, weights: weights)
    }

    init(directory: String, weights: WeightFormat) throws {
        checkpoint = try Checkpoint(directory: directory)
        decoder = try Decoder(checkpoint, format: weights, pool: Self.pool)
        profile = try ModelProfile(
            measuring: checkpoint,
            tokens: ModelProfile.sampleTokens(vocabulary: checkpoint.configuration.vocabularySize),
            noiseScale: 8, pool: Self.pool)
    }

    var blockCount: Int { checkpoint.configuration.blockCount }

    func engine(_ forward: any ForwardPass) -> Engine {
        Engine(
            forward: forward, tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength)
    }

    func plain(_ link: (any WorkerLink)? = nil) throws -> Engine {
        engine(
            PlainForwardPass(
                embedding: try TokenEmbedding(checkpoint), configuration: checkpoint.configuration,
                link: link ?? InProcessLink(Worker(model: decoder))))
    }

    func scx(_ options: ScxOptions, _ link: (any WorkerLink)? = nil) throws -> Engine {
        // The trusted side's own products are those of a whole decoder here: it loads parts of the same weights.
        engine(
            try ScxForwardPass(
                embedding: try TokenEmbedding(checkpoint), layers: decoder, profile: profile,
                options: options,
                link: link ?? InProcessLink(Worker(model: decoder))))
    }

    /// Tokens that are always the same.
    func prompt(_ count: Int, seed: Int = 1) -> [Int32] {
        let vocabulary = checkpoint.configuration.vocabularySize
        return (0..<count).map { Int32(($0 * 7_919 + seed * 104_729 + $0 * $0 * 31) % vocabulary) }
    }
}

/// Keeps what crosses a link.
final class CapturingLink: WorkerLink, @unchecked Sendable {
    let inner: any WorkerLink
    /// Only one thread exchanges.
    private(set) var exchanges: [(request: Request, answer: Answer)] = []

    init(_ inner: any WorkerLink) { self.inner = inner }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        let answer = try inner.exchange(request)
        exchanges.append((request, answer))
        return answer
    }
}

/// The largest difference of two lists, relative to the largest magnitude of the first.
func relativeError(_ expected: [Float], _ found: [Float]) -> Float {
    guard expected.count == found.count else { return .infinity }
    let largest = expected.reduce(0) { max($0, abs($1)) }
    return zip(expected, found).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
}

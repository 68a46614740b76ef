import Foundation
import SCXEncoding
import SCXEngine
import SCXInference
import SCXLink
import SCXProfiles
import SCXWorker
import Synchronization
import Testing

/// A random checkpoint in ring form: its sites, its weights, and forward passes over them.
struct SealedFixture: Sendable {
    let checkpoint: Checkpoint
    let model: RingModel
    let weights: Decoder

    static let pool = ThreadPool(threads: 2)

    /// The small checkpoints of all families, which transformers made.
    static let names = [
        "llama-gqa2", "llama-biases", "llama-tied", "llama-odd-10", "mistral-window", "qwen2", "qwen3",
        "rope-parameters-llama3", "qwen3-yarn", "gemma2", "gemma3-parameters", "phi3-partial", "smollm3-list",
        "olmo2", "granite", "gpt2-options", "starcoder2", "mixtral", "mixtral-window", "qwen2-moe",
        "qwen2-moe-options", "qwen3-moe", "qwen3-moe-options", "qwen3-moe-fused",
        "deepseek-v2", "deepseek-v2-groups", "deepseek-v3", "deepseek-v3-groups", "deepseek-v3-plain",
        "gpt-oss",
        "gpt-oss-options",
    ]

    init(_ name: String) throws {
        try self.init(directory: TinyModel.folder.appending(path: name).path)
    }

    /// Opens a model, with its sites as a store has them.
    init(directory: String, store: SiteStore? = nil) throws {
        checkpoint = try Checkpoint(directory: directory)
        model = try RingModel(checkpoint, pool: Self.pool, store: store)
        weights = try Decoder(checkpoint, format: .int8, pool: Self.pool)
    }

    var worker: InProcessLink { InProcessLink(Worker(model: weights)) }

    /// The reference: the same arithmetic here, without pads.
    func fixedPoint(_ options: RingOptions = .init()) -> RingForwardPass {
        RingForwardPass(fixedPoint: model, weights: weights, options: options)
    }

    func sealed(
        _ links: [any WorkerLink]? = nil, sources: [any PadSource]? = nil, rowCounts: RowCounts = .exact,
        counts: SealedCounts = SealedCounts(), options: RingOptions = .init(),
        warn: @escaping @Sendable (String) -> Void = { _ in }
    ) -> RingForwardPass {
        let links = links ?? [worker]
        return RingForwardPass(
            sealed: model,
            workers: RingWorkers(links.enumerated().map { ("\($0.offset)", [$0.element]) }, warn: warn),
            bank: PadBank(sites: model.sites, sources: sources ?? [DirectPads(weights)], warn: warn),
            rowCounts: rowCounts, counts: counts, options: options)
    }

    /// A pass over one worker whose weights are held by several processes, each of which has a part of the outputs.
    func sharded(_ count: Int) throws -> RingForwardPass {
        let shards = try (0..<count).map { index in
            let part = try #require(Shard(index: index, of: count))
            return InProcessLink(
                Worker(model: try Decoder(checkpoint, format: .int8, pool: Self.pool, shard: part)))
        }
        return RingForwardPass(
            sealed: model, workers: RingWorkers([("shards", shards)]),
            bank: PadBank(sites: model.sites, sources: [DirectPads(weights)]))
    }

    func engine(_ forward: any ForwardPass) -> Engine {
        Engine(
            forward: forward, tokenizer: nil, vocabularySize: checkpoint.configuration.vocabularySize,
            maximumLength: checkpoint.configuration.maximumLength)
    }

    /// Tokens that are always the same.
    func prompt(_ count: Int, seed: Int = 1) -> [Int32] {
        let vocabulary = checkpoint.configuration.vocabularySize
        return (0..<count).map { Int32(($0 * 7_919 + seed * 104_729 + $0 * $0 * 31) % vocabulary) }
    }
}

/// A worker that answers ring products wrongly, as told.
final class LyingLink: WorkerLink {
    /// Changes the answer to a request; nil where it is to stay.
    typealias Lie = @Sendable (_ request: Request, _ answer: RingTensor, _ number: Int) -> [UInt32]?

    private let inner: any WorkerLink
    private let lie: Lie
    private let count = Mutex(0)

    init(_ inner: any WorkerLink, lie: @escaping Lie) {
        self.inner = inner
        self.lie = lie
    }

    var traffic: Traffic { inner.traffic }

    func exchange(_ request: Request) throws(LinkError) -> Answer {
        let answer = try inner.exchange(request)
        let number = count.withLock { count in
            count += 1
            return count
        }
        guard case .ring(let tensor) = answer, let changed = lie(request, tensor, number) else {
            return answer
        }
        return .ring(RingTensor(resultOf: request, channels: tensor.channels, values: changed))
    }
}

import Foundation
import SCXInference
import SCXLink
import SCXWorker
import Testing

/// A small model of the parity fixtures, a worker that serves it, and what the trusted side computes itself.
struct WorkerFixture {
    static let pool = ThreadPool(threads: 2)
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/parity").path
    /// The models of Llama's form, for which the trusted side of profile `scx` is written down here.
    static let names: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.sorted().filter { name in
            let checkpoint = try? Checkpoint(directory: "\(folder)/\(name)")
            return checkpoint.map { $0.configuration.differenceFromLlama == nil } ?? false
        }
    }()

    let checkpoint: Checkpoint
    let model: Decoder
    let worker: Worker

    init(
        _ name: String = "llama-gqa2", format: WeightFormat = .f32, shard: Shard = .whole,
        limits: Worker.Limits = .init()
    ) throws {
        checkpoint = try Checkpoint(directory: "\(Self.folder)/\(name)")
        model = try Decoder(checkpoint, format: format, pool: Self.pool, shard: shard)
        worker = Worker(model: model, limits: limits)
    }

    var configuration: DecoderConfiguration { model.configuration }
    var hidden: Int { configuration.hiddenSize }
    var blocks: Int { configuration.blockCount }
    var queryWidth: Int { configuration.headCount * configuration.headSize }
    var keyWidth: Int { configuration.keyValueHeadCount * configuration.headSize }

    /// Asks for rows.
    func tensor(
        _ operation: Request.Operation, _ values: [Float], channels: Int? = nil, connection: UInt64 = 0
    ) throws -> [Float] {
        let channels = channels ?? hidden
        let request = Request(operation, rows(values, channels))
        guard case .tensor(let tensor) = try worker.answer(request, connection: connection) else {
            Issue.record("'\(request.kind)' is not answered by a tensor")
            return []
        }
        return tensor.values
    }

    func middle(
        _ values: [Float], blocks: Range<Int>? = nil, slot: UInt32 = 1, position: Int = 0,
        connection: UInt64 = 0
    ) throws -> [Float] {
        let segment = Segment(
            slot: Slot(number: slot), position: position, rows: values.count / hidden)
        return try tensor(
            .middle(blocks: blocks ?? 0..<self.blocks, segments: [segment]), values, connection: connection)
    }

    func rows(_ values: [Float], _ channels: Int) -> EncodedTensor {
        EncodedTensor(encodedRows: values.count / channels, channels: channels, values: values)
    }

    /// The norm before a block's attention.
    func normed(_ values: [Float], _ layer: Int) throws -> [Float] {
        let weight = try vector(.attentionNorm, layer, hidden)
        var out = [Float](repeating: 0, count: values.count)
        var span = out.mutableSpan
        rmsNorm(values.span, weight: weight.span, epsilon: configuration.normEpsilon, into: &span)
        return out
    }

    /// Norms of heads and rotation, in place, of rows of queries, keys and values.
    func rotate(_ rows: inout [Float], _ layer: Int, positions: Range<Int>) throws {
        let size = configuration.headSize
        let (heads, kvHeads) = (configuration.headCount, configuration.keyValueHeadCount)
        let stride = queryWidth + 2 * keyWidth
        var span = rows.mutableSpan
        if configuration.queryKeyNorm == .heads {
            let (queries, keys) = (try vector(.queryNorm, layer, size), try vector(.keyNorm, layer, size))
            let epsilon = configuration.normEpsilon
            rmsNorm(
                &span, stride: stride, rows: positions.count, groups: heads, weight: queries.span,
                epsilon: epsilon)
            rmsNorm(
                &span, offset: queryWidth, stride: stride, rows: positions.count, groups: kvHeads,
                weight: keys.span, epsilon: epsilon)
        }
        RotaryTable(RotaryEmbedding(configuration.rope), positions: positions)
            .rotate(&span, offset: 0, stride: stride, heads: heads + kvHeads, headSize: size)
    }

    /// Queries of all rows, then keys and values of all rows, as `attention` takes them.
    func split(_ rows: [Float]) -> (queries: [Float], keysAndValues: [Float]) {
        var (queries, others): ([Float], [Float]) = ([], [])
        for row in slices(rows, queryWidth + 2 * keyWidth) {
            queries += row.prefix(queryWidth)
            others += row.suffix(2 * keyWidth)
        }
        return (queries, others)
    }

    private func vector(_ tensor: BlockTensor, _ layer: Int, _ count: Int) throws -> [Float] {
        try checkpoint.tensor(configuration.name(of: tensor, block: layer), shape: [count]).values()
    }
}

func slices(_ values: [Float], _ width: Int) -> [ArraySlice<Float>] {
    stride(from: 0, to: values.count, by: width).map { values[$0..<$0 + width] }
}

/// Numbers between −1 and 1, the same in every run.
func noise(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) / 2_147_483_648
    }
}

/// Numbers of rows in some order, the same in every run.
func shuffled(_ count: Int, seed: UInt64) -> [Int] {
    let keys = noise(count, seed: seed)
    return (0..<count).sorted { keys[$0] < keys[$1] }
}

/// The largest difference, relative to the largest number.
func distance(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count, !a.isEmpty else { return .infinity }
    let largest = b.reduce(0) { max($0, abs($1)) }
    return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
}

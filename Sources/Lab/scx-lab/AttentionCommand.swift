import ArgumentParser
import Foundation
import SCXInference
import SCXOptions
import Synchronization

struct AttentionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attention",
        abstract: "Measure attention over filled caches against the bandwidth of reading memory.",
        discussion: """
            Caches of one session are filled with random keys and values, and the attention of one step is computed in all \
            blocks: of one row as without drafts, or of several as with them. 'bandwidth' is what is read over what the \
            machine can read at most, 'peak' the multiply-adds over what it can do at most; a step is bound by the one that is \
            near to 1. Both are probed around each step, and the best of the repeats counts of all three. Blocks for whose \
            caches there is no memory read those of other blocks, in turn. Caches that fit into the processor's own are read \
            faster than memory.
            """)

    @Option(help: "Which model's heads and blocks, as 'scx-lab synth' names them.")
    var modelShape = "qwen3-1.7b"

    @Option(help: "Tokens in the cache, separated by commas.")
    var context = "1024,8192,65536"

    @Option(help: "How keys and values are held, separated by commas: f32, bf16, f16, int8.")
    var kv = LayerCache.Format.allCases.map(\.rawValue).joined(separator: ",")

    @Option(help: "Rows of a step, separated by commas.")
    var rows = "1,5"

    @Option(help: "Steps of each kind; the best counts.")
    var repeats = 5

    @Option(help: "Megabytes of caches in memory at most.")
    var memory = 4_096

    @OptionGroup var compute: ThreadsFlag

    private var shape: SyntheticShape? { SynthCommand.shapes.first { $0.name == modelShape } }
    private var formats: [LayerCache.Format?] { Self.parts(kv).map { .init(rawValue: $0) } }
    private var contexts: [Int?] { Self.parts(context).map { Int($0) } }
    private var rowCounts: [Int?] { Self.parts(rows).map { Int($0) } }

    private static func parts(_ list: String) -> [String] { list.split(separator: ",").map(String.init) }

    func validate() throws {
        guard shape != nil else {
            let names = SynthCommand.shapes.map(\.name).joined(separator: ", ")
            throw ValidationError("'--model-shape \(modelShape)' is no shape; there are \(names).")
        }
        guard !formats.isEmpty, formats.allSatisfy({ $0 != nil }) else {
            throw ValidationError("'--kv \(kv)' is not a list of f32, bf16, f16, int8.")
        }
        guard !contexts.isEmpty, contexts.allSatisfy({ (1...1 << 24).contains($0 ?? 0) }) else {
            throw ValidationError("'--context \(context)' is not a list of lengths (1 to 16777216).")
        }
        let shortest = contexts.compactMap { $0 }.min() ?? 0
        guard !rowCounts.isEmpty, rowCounts.allSatisfy({ (1...shortest).contains($0 ?? 0) }) else {
            throw ValidationError("'--rows \(rows)' is not a list of numbers from 1 to the shortest context.")
        }
        guard repeats > 0, memory > 0 else {
            throw ValidationError("'--repeats' and '--memory' take positive numbers.")
        }
    }

    func run() throws {
        guard let shape else { return }  // Ruled out above.
        let pool = compute.pool
        print("\(modelShape), \(pool.threads) threads, \(InstructionSet.detected)")
        for context in contexts.compactMap({ $0 }) {
            for format in formats.compactMap({ $0 }) {
                let bench = try AttentionBench(
                    shape.configuration, format, context: context, memory: memory << 20, pool: pool)
                for rows in rowCounts.compactMap({ $0 }) {
                    print(try line(bench, rows: rows))
                }
            }
        }
    }

    private func line(_ bench: AttentionBench, rows: Int) throws -> String {
        let best = try bench.best(rows: rows, repeats: repeats)
        let speed = Double(bench.bytesRead) / best.seconds
        let arithmetic = bench.operations(rows: rows) / best.seconds
        let blocks = bench.configuration.blockCount
        let shared =
            bench.caches.count < blocks ? ", \(bench.caches.count) of \(blocks) blocks in memory" : ""
        let cells = [
            bench.format.rawValue.padding(toLength: 4, withPad: " ", startingAt: 0),
            "\(bench.context) tokens, \(rows) \(rows == 1 ? "row" : "rows"):",
            "\(rounded(best.seconds * 1e3)) ms, \(rounded(speed / 1e9)) GB/s,",
            "\(rounded(speed / best.bandwidth)) of bandwidth (\(rounded(best.bandwidth / 1e9)) GB/s),",
            "\(rounded(arithmetic / best.peak)) of peak, cache \(bench.byteCount >> 20) MiB\(shared)",
        ]
        return cells.joined(separator: " ")
    }

    private func rounded(_ value: Double) -> String { String(format: "%.3g", value) }
}

/// Measures attention of single steps over the KV cache of one session.
struct AttentionBench {
    let configuration: DecoderConfiguration
    let format: LayerCache.Format
    let context: Int
    /// The caches of the first blocks, as many as there is memory for; the other blocks use them in turn.
    let caches: [LayerCache]
    private let pool: ThreadPool

    /// Fills caches with random keys and values.
    ///
    /// - Parameters:
    ///   - configuration: The model's blocks and heads.
    ///   - format: How keys and values are stored.
    ///   - context: Tokens in each cache.
    ///   - memory: The most bytes of all caches; the first is made in any case.
    ///   - pool: Threads that fill and compute.
    /// - Throws: ``KVCacheError`` when there is no memory.
    init(
        _ configuration: DecoderConfiguration, _ format: LayerCache.Format, context: Int, memory: Int,
        pool: ThreadPool
    ) throws(KVCacheError) {
        (self.configuration, self.format, self.context, self.pool) = (configuration, format, context, pool)
        let (heads, size) = (configuration.keyValueHeadCount, configuration.headSize)
        func empty() -> LayerCache { LayerCache(kvHeads: heads, headSize: size, format: format) }
        let most = memory / empty().byteCount(tokens: context)
        let caches = (0..<max(1, min(most, configuration.blockCount))).map { _ in empty() }
        self.caches = caches
        let (width, step) = (heads * size, 256)
        let rows = Self.random(step * 2 * width)
        let failure = Mutex<KVCacheError?>(nil)
        pool.run(caches.count) { index in
            do throws(KVCacheError) {
                try caches[index].reserve(context)
                while caches[index].count < context {
                    try caches[index].append(
                        rows.span, keyOffset: 0, valueOffset: width, stride: 2 * width,
                        tokens: min(step, context - caches[index].count))
                }
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Bytes of the caches of all blocks.
    var byteCount: Int { configuration.blockCount * (caches.first?.byteCount ?? 0) }

    /// Bytes of the keys and values to which the queries of a step attend, in all blocks.
    var bytesRead: Int {
        let token = format.tokenBytes(
            kvHeads: configuration.keyValueHeadCount, headSize: configuration.headSize)
        return configuration.slidingWindows.reduce(0) { $0 + min($1 ?? context, context) * token }
    }

    /// Multiply-adds of the scores and of the weighted values of a step.
    func operations(rows: Int) -> Double {
        let pairs = configuration.slidingWindows.reduce(0) { sum, window in
            (0..<rows).reduce(sum) { $0 + min(window ?? context, context - rows + $1 + 1) }
        }
        return 2 * Double(pairs * configuration.headCount * configuration.headSize)
    }

    /// The time of a step, and the most that the machine could do at that time.
    struct Best {
        var seconds = Double.infinity
        /// Bytes a second.
        var bandwidth = 0.0
        /// Multiply-adds a second.
        var peak = 0.0
    }

    /// Computes steps.
    ///
    /// - Parameters:
    ///   - rows: Query rows of each step.
    ///   - repeats: How many steps.
    /// - Returns: The best of each figure.
    /// - Throws: ``KernelError`` when there is no memory for the probe.
    func best(rows: Int, repeats: Int) throws(KernelError) -> Best {
        let width = configuration.headCount * configuration.headSize
        let queries = Self.random(rows * width)
        var out = [Float](repeating: 0, count: rows * width)
        var best = Best()
        for repetition in 0...repeats {
            best.bandwidth = max(best.bandwidth, try MachineProbe.readBandwidth(pool: pool))
            best.peak = max(best.peak, MachineProbe.peak(format: .f32, pool: pool))
            guard repetition < repeats else { break }  // after the last step nothing but the probes
            let start = ContinuousClock.now
            var span = out.mutableSpan
            for (block, window) in configuration.slidingWindows.enumerated() {
                attention(
                    queries.span, stride: width, tokens: rows, heads: configuration.headCount,
                    cache: caches[block % caches.count],
                    scale: 1 / Float(configuration.headSize).squareRoot(), window: window, into: &span,
                    pool: pool)
            }
            best.seconds = min(best.seconds, (ContinuousClock.now - start) / .seconds(1))
        }
        return best
    }

    private static func random(_ count: Int) -> [Float] {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-30
        }
    }
}

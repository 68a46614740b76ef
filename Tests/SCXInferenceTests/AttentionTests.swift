import SCXInference
import Testing

@Suite("attention")
struct AttentionTests {
    /// A head layout: query heads, key-value heads, channels.
    struct Shape: Sendable, CustomTestStringConvertible {
        let heads: Int
        let kvHeads: Int
        let headSize: Int

        var row: Int { (heads + 2 * kvHeads) * headSize }
        var testDescription: String { "\(heads)/\(kvHeads)x\(headSize)" }
    }

    static let shapes = [
        Shape(heads: 1, kvHeads: 1, headSize: 8), Shape(heads: 2, kvHeads: 2, headSize: 20),
        Shape(heads: 8, kvHeads: 1, headSize: 64), Shape(heads: 4, kvHeads: 2, headSize: 128),
        Shape(heads: 3, kvHeads: 3, headSize: 7),
    ]

    /// The scale that models use, 1 / √headSize.
    static func scale(_ shape: Shape) -> Double { 1 / Double(shape.headSize).squareRoot() }

    /// The distance of `got`, attention of the last rows, from double precision over the keys and values of `rows`, or
    /// over those that `cache` stores.
    ///
    /// Without optimisation the reference is slow, so of many rows those about the edges of tiles and pages are compared.
    static func error(
        _ got: [Float], _ rows: [Float], _ shape: Shape, stored cache: LayerCache? = nil,
        window: Int? = nil, causal: Bool = true, cap: Double? = nil, sinks: [Float] = []
    ) -> Double {
        let (size, width) = (shape.headSize, shape.heads * shape.headSize)
        let count = rows.count / shape.row
        var rows = rows
        for t in 0..<count {
            guard let (keys, values) = cache?.stored(t) else { break }
            rows.replaceSubrange(t * shape.row + width..<(t + 1) * shape.row, with: keys + values)
        }
        let tokens = got.count / width
        guard got.count == tokens * width else { return .infinity }
        let checked =
            tokens < 10 ? Array(0..<tokens) : [0, 1, 5, 6, 15, 16, 47, 63, 64, tokens - 2, tokens - 1]
        var worst = 0.0
        for row in checked where row < tokens {
            let p = count - tokens + row
            let reach = window ?? count
            let visible = max(0, p + 1 - reach)..<(causal ? p + 1 : min(count, p + reach))
            for h in 0..<shape.heads {
                let q = rows[(p * shape.row + h * size)...].prefix(size).map { Double($0) * scale(shape) }
                let g = h / (shape.heads / shape.kvHeads)
                let scores = visible.map { t in
                    let k = t * shape.row + (shape.heads + g) * size
                    var sum = 0.0
                    for d in 0..<size { sum += q[d] * Double(rows[k + d]) }
                    return cap.map { $0 * hyperbolicTangent(sum / $0) } ?? sum
                }
                let sink = sinks.isEmpty ? -.infinity : Double(sinks[h])
                let top = max(scores.max() ?? 0, sink)
                let weights = scores.map { exponential($0 - top) }
                let total = weights.reduce(exponential(sink - top), +)
                var want = [Double](repeating: 0, count: size)
                for (t, weight) in zip(visible, weights) {
                    let v = t * shape.row + (shape.heads + shape.kvHeads + g) * size
                    for d in 0..<size { want[d] += weight / total * Double(rows[v + d]) }
                }
                let start = row * width + h * size
                worst = max(worst, farthest(Array(got[start..<start + size]), want))
            }
        }
        return worst
    }

    static func filled(
        _ rows: [Float], _ shape: Shape, format: LayerCache.Format = .f32
    ) throws -> LayerCache {
        let cache = LayerCache(kvHeads: shape.kvHeads, headSize: shape.headSize, format: format)
        try append(rows, 0..<rows.count / shape.row, shape, to: cache)
        return cache
    }

    static func append(_ rows: [Float], _ range: Range<Int>, _ shape: Shape, to cache: LayerCache) throws {
        let keys = range.lowerBound * shape.row + shape.heads * shape.headSize
        try cache.append(
            rows.span, keyOffset: keys, valueOffset: keys + shape.kvHeads * shape.headSize, stride: shape.row,
            tokens: range.count)
    }

    /// Runs the kernel on the last `tokens` of the cache's rows.
    static func run(
        _ rows: [Float], _ shape: Shape, tokens: Int, _ cache: LayerCache, window: Int? = nil,
        causal: Bool = true, cap: Float? = nil, sinks: [Float] = [], pool: ThreadPool? = nil,
        on isa: InstructionSet
    ) -> [Float] {
        let width = shape.heads * shape.headSize
        var out = [Float](repeating: .nan, count: tokens * width + 3)
        var span = out.mutableSpan
        attention(
            rows.span, offset: (cache.count - tokens) * shape.row, stride: shape.row, tokens: tokens,
            heads: shape.heads, cache: cache, scale: Float(scale(shape)), cap: cap,
            sinks: sinks, window: window, causal: causal, into: &span, at: 3, pool: pool, on: isa)
        #expect(out[..<3].allSatisfy { $0.isNaN })
        return Array(out[3...])
    }

    @Test(
        "agrees with double precision for every width, window and number of tokens",
        arguments: InstructionSet.available, shapes)
    func matchesReference(isa: InstructionSet, shape: Shape) throws {
        for count in [1, 2, 15, 16, 17, 33, 130] {
            let rows = noise(count * shape.row, seed: UInt64(count))
            let cache = try Self.filled(rows, shape)
            for window in [nil, 1, 5, 16, 100] where count == 130 || window == nil || window == 5 {
                let got = Self.run(rows, shape, tokens: count, cache, window: window, on: isa)
                #expect(
                    Self.error(got, rows, shape, window: window) < 2e-6,
                    "\(count) tokens, window \(window ?? 0)")
            }
        }
    }

    @Test(
        "caps and sinks agree with double precision, on one thread and in chunks",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func capsAndSinks(isa: InstructionSet, format: LayerCache.Format) throws {
        let shape = Shape(heads: 4, kvHeads: 2, headSize: 24)
        for (count, tokens) in [(1, 1), (70, 70), (1_500, 1)] {
            let rows = noise(count * shape.row, seed: 5).map { 2 * $0 }
            let cache = try Self.filled(rows, shape, format: format)
            for (cap, sinks) in [(2.5 as Float?, []), (nil, [-3, 0, 2, 40]), (0.5, [1, -100, 0.25, 3])]
                as [(Float?, [Float])]
            {
                for pool in [nil, ThreadPool(threads: 2)] {
                    let got = Self.run(
                        rows, shape, tokens: tokens, cache, window: 1_200, cap: cap, sinks: sinks, pool: pool,
                        on: isa)
                    let error = Self.error(
                        got, rows, shape, stored: cache, window: 1_200, cap: cap.map { Double($0) },
                        sinks: sinks)
                    #expect(error < 2e-5, "\(count) tokens, cap \(cap ?? 0), sinks \(sinks)")
                }
            }
        }
    }

    @Test("sees every token when it is not causal", arguments: InstructionSet.available)
    func bidirectional(isa: InstructionSet) throws {
        let shape = Shape(heads: 4, kvHeads: 2, headSize: 20)
        let rows = noise(70 * shape.row, seed: 1)
        let cache = try Self.filled(rows, shape)
        let got = Self.run(rows, shape, tokens: 70, cache, causal: false, on: isa)
        #expect(Self.error(got, rows, shape, causal: false) < 2e-6)
    }

    @Test(
        "sees the tokens of a window on both sides when it is not causal",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func windowsOnBothSides(isa: InstructionSet, format: LayerCache.Format) throws {
        let shape = Shape(heads: 4, kvHeads: 2, headSize: 20)
        for count in [1, 5, 130, 1_100] {
            let rows = noise(count * shape.row, seed: 8)
            let cache = try Self.filled(rows, shape, format: format)
            for window in [1, 3, 65, 600, 2_000] {
                for tokens in [count, 1, 3] where tokens <= count {
                    for pool in [nil, ThreadPool(threads: 2)] {
                        let got = Self.run(
                            rows, shape, tokens: tokens, cache, window: window, causal: false, pool: pool,
                            on: isa)
                        let error = Self.error(
                            got, rows, shape, stored: cache, window: window, causal: false)
                        #expect(error < 2e-6, "\(count) tokens, \(tokens) rows, window \(window)")
                    }
                }
            }
        }
    }

    @Test(
        "a prompt in chunks, then single tokens, gives what one pass gives",
        arguments: InstructionSet.available)
    func chunks(isa: InstructionSet) throws {
        let shape = Shape(heads: 6, kvHeads: 2, headSize: 24)
        let rows = noise(140 * shape.row, seed: 2)
        let cache = LayerCache(kvHeads: 2, headSize: 24)
        var got: [Float] = []
        for range in [0..<50, 50..<64, 64..<137, 137..<138, 138..<139, 139..<140] {
            try Self.append(rows, range, shape, to: cache)
            got += Self.run(rows, shape, tokens: range.count, cache, window: 90, on: isa)
        }
        #expect(Self.error(got, rows, shape, window: 90) < 2e-6)
    }

    @Test(
        "agrees with double precision over what a cache of every format stores",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func formats(isa: InstructionSet, format: LayerCache.Format) throws {
        for shape in Self.shapes + [Shape(heads: 4, kvHeads: 2, headSize: 40)] {
            let rows = noise(130 * shape.row, seed: 4)
            let cache = try Self.filled(rows, shape, format: format)
            for tokens in [1, 2, 3, 5, 9, 130] {
                for window in [nil, 50] {
                    let got = Self.run(rows, shape, tokens: tokens, cache, window: window, on: isa)
                    #expect(
                        Self.error(got, rows, shape, stored: cache, window: window) < 2e-6,
                        "\(shape), \(tokens) rows, window \(window ?? 0)")
                }
            }
        }
    }

    @Test(
        "rounding of the cache costs no more than the rounding of its elements",
        arguments: zip(LayerCache.Format.allCases, [2e-6, 1e-2, 2e-3, 3e-2]))
    func rounding(format: LayerCache.Format, bound: Double) throws {
        let shape = Shape(heads: 4, kvHeads: 2, headSize: 40)
        let rows = noise(100 * shape.row, seed: 4)
        let cache = try Self.filled(rows, shape, format: format)
        let got = Self.run(rows, shape, tokens: 100, cache, on: .detected)
        #expect(Self.error(got, rows, shape) < bound)
    }

    @Test(
        "scores of several hundred neither overflow nor vanish",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func largeScores(isa: InstructionSet, format: LayerCache.Format) throws {
        let shape = Shape(heads: 2, kvHeads: 1, headSize: 32)
        let rows = noise(80 * shape.row, seed: 5).map { $0 * 20 }
        let cache = try Self.filled(rows, shape, format: format)
        // 2⁻²² of a score of about 1,000, times values of 40.
        let got = Self.run(rows, shape, tokens: 80, cache, on: isa)
        #expect(Self.error(got, rows, shape, stored: cache) < 2e-2)
    }

    @Test("a wrong shape stops the process before any memory is read")
    func wrongShapes() async {
        await #expect(processExitsWith: .failure) {
            let cache = LayerCache(kvHeads: 1, headSize: 4)
            try cache.append(
                [Float](repeating: 0, count: 8).span, keyOffset: 0, valueOffset: 4, stride: 8, tokens: 1)
            var out = [Float](repeating: 0, count: 3)
            var span = out.mutableSpan
            attention(
                [Float](repeating: 0, count: 4).span, stride: 4, tokens: 1, heads: 1, cache: cache, scale: 1,
                into: &span)
        }
        await #expect(processExitsWith: .failure) {
            let cache = LayerCache(kvHeads: 1, headSize: 4)
            var out = [Float](repeating: 0, count: 4)
            var span = out.mutableSpan
            attention(
                [Float](repeating: 0, count: 4).span, stride: 4, tokens: 1, heads: 1, cache: cache, scale: 1,
                into: &span)
        }
    }
}

import SCXInference
import Testing

/// Speculative decoding and prompts in chunks rest on these: a row has the same bits however it is computed.
@Suite("attention of one row among others")
struct AttentionInvarianceTests {
    typealias Shape = AttentionTests.Shape

    /// One row, two and eight for each key-value head, and a head size that fills no vector.
    ///
    /// In chunks these have every number of rows that a register tile has code for, and several tiles.
    static let shapes = [
        Shape(heads: 2, kvHeads: 2, headSize: 16), Shape(heads: 4, kvHeads: 2, headSize: 40),
        Shape(heads: 8, kvHeads: 1, headSize: 16), Shape(heads: 3, kvHeads: 1, headSize: 7),
    ]
    static let pool = ThreadPool(threads: 2)

    static func bits(_ x: some Sequence<Float>) -> [UInt32] { x.map(\.bitPattern) }

    @Test(
        "a prompt in chunks of every size gives the bits of one pass, with one thread and two",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func chunks(isa: InstructionSet, format: LayerCache.Format) throws {
        for (shape, count) in zip(Self.shapes, [601, 577, 530, 130]) {
            let rows = noise(count * shape.row, seed: UInt64(count))
            let full = try AttentionTests.filled(rows, shape, format: format)
            for window in [nil, 1, 37, 64, 515] {
                let want = Self.bits(
                    AttentionTests.run(rows, shape, tokens: count, full, window: window, on: isa))
                for (size, pool) in [1, 2, 3, 4, 5, 16, 64, 100, count].flatMap({
                    [($0, nil), ($0, Self.pool)]
                }) {
                    let cache = LayerCache(kvHeads: shape.kvHeads, headSize: shape.headSize, format: format)
                    var got: [UInt32] = []
                    while cache.count < count {
                        let range = cache.count..<min(cache.count + size, count)
                        try AttentionTests.append(rows, range, shape, to: cache)
                        got += Self.bits(
                            AttentionTests.run(
                                rows, shape, tokens: range.count, cache, window: window, pool: pool, on: isa))
                    }
                    #expect(
                        got == want, "\(shape) in chunks of \(size), window \(window ?? 0), \(pool == nil)")
                }
            }
        }
    }

    @Test(
        "the last rows of a long cache have the bits of one pass over all of it",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func longCache(isa: InstructionSet, format: LayerCache.Format) throws {
        let shape = Shape(heads: 4, kvHeads: 2, headSize: 16)
        let count = 4_997
        let rows = noise(count * shape.row, seed: 9)
        for window in [nil, 900] {
            let cache = try AttentionTests.filled(rows, shape, format: format)
            let want = AttentionTests.run(
                rows, shape, tokens: count, cache, window: window, pool: Self.pool, on: isa)
            let width = shape.heads * shape.headSize
            for end in [4_997, 4_096, 3_001, 2_560, 1_537, 1_025, 1_024, 513, 512, 511, 140, 64, 1] {
                cache.truncate(to: end)
                for size in [1, 2, 3, 4, 5, 16, 64, 100] where size <= end {
                    for pool in [nil, Self.pool] {
                        let got = AttentionTests.run(
                            rows, shape, tokens: size, cache, window: window, pool: pool, on: isa)
                        #expect(
                            Self.bits(got) == Self.bits(want[(end - size) * width..<end * width]),
                            "\(size) rows to \(end), window \(window ?? 0)")
                    }
                }
            }
        }
    }

    @Test(
        "threads change no bit of a pass that sees every token",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func bidirectional(isa: InstructionSet, format: LayerCache.Format) throws {
        let shape = Shape(heads: 2, kvHeads: 1, headSize: 16)
        let rows = noise(1_100 * shape.row, seed: 3)
        let cache = try AttentionTests.filled(rows, shape, format: format)
        let want = AttentionTests.run(rows, shape, tokens: 1_100, cache, causal: false, on: isa)
        for tokens in [1, 7, 24, 1_100] {
            let got = AttentionTests.run(
                rows, shape, tokens: tokens, cache, causal: false, pool: ThreadPool(threads: 3), on: isa)
            #expect(Self.bits(got) == Self.bits(want.suffix(got.count)))
        }
    }

    @Test(
        "a token that is not a number reaches only the rows that see it",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func notFinite(isa: InstructionSet, format: LayerCache.Format) throws {
        let shape = Shape(heads: 4, kvHeads: 2, headSize: 24)
        let clean = noise(200 * shape.row, seed: 5)
        let width = shape.heads * shape.headSize
        let want = AttentionTests.run(
            clean, shape, tokens: 200, try AttentionTests.filled(clean, shape, format: format), window: 30,
            on: isa)
        for bad in [Float.nan, .infinity, -.infinity] {
            var rows = clean
            for i in 150 * shape.row + width..<151 * shape.row { rows[i] = bad }
            let cache = try AttentionTests.filled(rows, shape, format: format)
            let got = AttentionTests.run(rows, shape, tokens: 200, cache, window: 30, on: isa)
            #expect(Self.bits(got[..<(150 * width)]) == Self.bits(want[..<(150 * width)]))
            #expect(Self.bits(got[(180 * width)...]) == Self.bits(want[(180 * width)...]))
            #expect(got[(150 * width)..<(180 * width)].allSatisfy { !$0.isFinite })
        }
    }
}

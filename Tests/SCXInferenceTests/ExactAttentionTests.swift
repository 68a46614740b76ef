import SCXInference
import Testing

@Suite("attention with exact scores")
struct ExactAttentionTests {
    typealias Shape = AttentionTests.Shape

    static let shapes = [
        Shape(heads: 2, kvHeads: 2, headSize: 16), Shape(heads: 8, kvHeads: 1, headSize: 64),
        Shape(heads: 12, kvHeads: 2, headSize: 40), Shape(heads: 3, kvHeads: 1, headSize: 7),
        Shape(heads: 4, kvHeads: 1, headSize: 256),
    ]

    /// Rows whose queries and keys are rounded for exact sums.
    static func rows(_ count: Int, _ shape: Shape, on isa: InstructionSet) -> [Float] {
        var rows = noise(count * shape.row, seed: UInt64(count))
        var span = rows.mutableSpan
        roundHeads(
            &span, stride: shape.row, rows: count, heads: shape.heads + shape.kvHeads,
            headSize: shape.headSize, on: isa)
        return rows
    }

    /// The same rows with the channels of their queries and keys, and those of their values, in another order.
    static func permuted(_ rows: [Float], _ shape: Shape, _ keys: [Int], _ values: [Int]) -> [Float] {
        let size = shape.headSize
        return rows.indices.map { i in
            let head = i % shape.row / size
            let order = head < shape.heads + shape.kvHeads ? keys : values
            return rows[i - i % shape.row % size + order[i % shape.row % size]]
        }
    }

    /// An order that is always the same.
    static func order(_ count: Int, seed: UInt64) -> [Int] {
        zip(noise(count, seed: seed), 0..<count).sorted { $0 < $1 }.map(\.1)
    }

    static func run(
        _ rows: [Float], _ shape: Shape, tokens: Int, _ cache: LayerCache, pool: ThreadPool? = nil,
        on isa: InstructionSet
    ) -> [Float] {
        let width = shape.heads * shape.headSize
        var out = [Float](repeating: .nan, count: tokens * width)
        var span = out.mutableSpan
        attention(
            rows.span, offset: rows.count - tokens * shape.row, stride: shape.row, tokens: tokens,
            heads: shape.heads, cache: cache, scale: Float(AttentionTests.scale(shape)), exactScores: true,
            into: &span, pool: pool, on: isa)
        return out
    }

    @Test(
        "agrees with double precision, and no bit depends on the order of channels or on other rows",
        arguments: InstructionSet.available, LayerCache.Format.allCases)
    func orders(isa: InstructionSet, format: LayerCache.Format) throws {
        let pool = ThreadPool(threads: 2)
        for (shape, count) in zip(Self.shapes, [601, 130, 70, 90, 65]) {
            let rows = Self.rows(count, shape, on: isa)
            let cache = try AttentionTests.filled(rows, shape, format: format)
            let want = Self.run(rows, shape, tokens: count, cache, on: isa)
            #expect(AttentionTests.error(want, rows, shape, stored: cache) < 1e-5, "\(shape)")
            let width = shape.heads * shape.headSize
            for tokens in [1, 2, 5, 40] {
                let got = Self.run(rows, shape, tokens: tokens, cache, pool: pool, on: isa)
                #expect(got == Array(want.suffix(tokens * width)), "\(shape), \(tokens) rows")
            }
            for seed in 1...3 {
                let keys = Self.order(shape.headSize, seed: UInt64(2 * seed))
                let values = Self.order(shape.headSize, seed: UInt64(2 * seed + 1))
                let other = Self.permuted(rows, shape, keys, values)
                let got = Self.run(
                    other, shape, tokens: count, try AttentionTests.filled(other, shape, format: format),
                    on: isa)
                for i in got.indices {
                    let from = i - i % shape.headSize + values[i % shape.headSize]
                    guard got[i] != want[from] else { continue }
                    Issue.record("\(shape): value \(i) of another order")
                    break
                }
            }
        }
    }
}

import SCXInference
import Testing

@Suite("products in float64")
struct ExactLinearTests {
    static let pool = ThreadPool(threads: 2)

    /// Rows of whole numbers up to 2²⁴ in magnitude, as floats.
    private static func integers(_ count: Int, _ numbers: inout Numbers) -> [Int64] {
        (0..<count).map { _ in Int64((Double(numbers.next()) * 0x1p24).rounded()) }
    }

    @Test(
        "are the integers that they stand for, on every instruction set, and add to the same in parts",
        arguments: InstructionSet.available, [WeightFormat.f32, .bf16, .int8, .int4])
    func exact(isa: InstructionSet, format: WeightFormat) throws {
        var numbers = Numbers(seed: 11)
        for (rows, columns, tokens) in [
            (1, 1, 1), (17, 33, 9), (40, 300, 26), (70, 513, 49), (16, 256, 8), (33, 2_200, 3),
        ] {
            let w = try PackedMatrix(rows: rows, columns: columns, format: format)
            w.pack(numbers.next(rows * columns), as: .f32, firstRow: 0, count: rows)
            let rounded = try w.roundedForExactSums(pool: Self.pool)
            let x = Self.integers(tokens * columns, &numbers)
            let floats = x.map { Float($0) }
            var y = [Double](repeating: .nan, count: tokens * rows)
            var out = y.mutableSpan
            exactLinear(floats.span, rounded, into: &out, tokens: tokens, pool: Self.pool, on: isa)
            for row in 0..<rows {
                let (own, step) = try Self.steps(rounded, row)
                let before = Self.row(w, row)
                let sum = before.reduce(0) { $0 + Double(abs($1)) }
                // A weight changes by at most half a step, a part of 2⁻²⁹ of the sum of the row's.
                let isNear = zip(before, own).allSatisfy {
                    abs(Double($0) - Double($1) * step) <= sum * 0x1p-28
                }
                #expect(isNear)
                for token in 0..<tokens {
                    var want: Int64 = 0
                    for c in 0..<columns { want += x[token * columns + c] * own[c] }
                    #expect(abs(want) <= 1 << 53 && y[token * rows + row] == Double(want) * step)
                }
            }
        }
    }

    private static func row(_ w: PackedMatrix, _ row: Int) -> [Float] {
        var values = [Float](repeating: 0, count: w.columns)
        var span = values.mutableSpan
        w.dequantize(row: row, into: &span)
        return values
    }

    /// A row of rounded weights as whole numbers of steps.
    private static func steps(_ w: PackedMatrix, _ row: Int) throws -> (values: [Int64], step: Double) {
        let values = Self.row(w, row).map { Double($0) }
        let sum = values.reduce(0) { $0 + abs($1) }
        // The sum of the rounded weights may be on the other side of a power of two: half of the step is then enough.
        let step = Double(sign: .plus, exponent: Int(sum.exponent) - 28, significand: 1)
        let whole = values.map { $0 / step }
        #expect(whole.allSatisfy { $0 == $0.rounded() })
        return (whole.map { Int64($0) }, step)
    }

    @Test("weights in bfloat16 keep all but their smallest values")
    func rounding() throws {
        var numbers = Numbers(seed: 12)
        let w = try PackedMatrix(rows: 16, columns: 1_000, format: .bf16)
        w.pack(numbers.next(16_000), as: .f32, firstRow: 0, count: 16)
        let rounded = try w.roundedForExactSums(pool: Self.pool)
        for row in 0..<16 {
            let changed = zip(Self.row(w, row), Self.row(rounded, row)).count { $0 != $1 }
            #expect(changed < 10)
        }
    }

    @Test(
        "sums of rounded heads do not depend on the order of their channels",
        arguments: InstructionSet.available, [1, 7, 32, 40, 64, 100, 128, 256])
    func heads(isa: InstructionSet, size: Int) {
        var numbers = Numbers(seed: UInt64(size))
        // Channels of very different magnitude.
        let values = (0..<3 * (2 * size + 5)).map { _ -> Float in
            let value = numbers.next()
            return value * value * value * value * value * 300
        }
        var rows = values
        var span = rows.mutableSpan
        roundHeads(&span, offset: 2, stride: 2 * size + 5, rows: 3, heads: 2, headSize: size, on: isa)
        let between = 2 + 2 * size..<2 * size + 5
        #expect(rows[..<2] == values[..<2] && rows[between] == values[between])
        for row in 0..<3 {
            let start = 2 + row * (2 * size + 5)
            let (q, k) = (Array(rows[start..<start + size]), Array(rows[start + size..<start + 2 * size]))
            let largest = values[start..<start + size].reduce(0) { max($0, abs($1)) }
            let isNear = zip(q, values[start...]).allSatisfy { abs($0 - $1) <= largest * 0x1p-22 }
            #expect(isNear)
            // What a cache in bfloat16 makes of the keys.
            let stored = LayerCache.Format.bf16.rounded(k[...], headSize: size)
            for keys in [k, stored] {
                let products = zip(q, keys).map { Double($0) * Double($1) }
                let forward = products.reduce(0, +)
                #expect(products.reversed().reduce(0, +) == forward)
                #expect(products.sorted().reduce(0, +) == forward)
            }
        }
    }

    @Test("heads that cannot be rounded stay as they are", arguments: InstructionSet.available)
    func notFinite(isa: InstructionSet) {
        let tiny = 700 * Float.leastNonzeroMagnitude
        for bad: Float in [.nan, .infinity, 3e38, 0, 1_000 * tiny] {
            let head = [Float](repeating: 0, count: 20) + [bad] + [Float](repeating: tiny, count: 12)
            var rows = head
            var span = rows.mutableSpan
            roundHeads(&span, stride: 33, rows: 1, heads: 1, headSize: 33, on: isa)
            #expect(zip(rows, head).allSatisfy { $0.bitPattern == $1.bitPattern })
        }
    }
}

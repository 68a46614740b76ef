import SCXInference
import Testing

@Suite("linear kernel")
struct LinearTests {
    static let pool = ThreadPool(threads: 2)

    /// A format with its groups, and the widest error that its rounding may cause, relative to |x| · |w|.
    struct Case: CustomTestStringConvertible, Sendable {
        let format: WeightFormat
        var group: Int? = nil
        let rounding: Double

        var testDescription: String { "\(format) \(group.map { "group \($0)" } ?? "")" }

        static let all = [
            Case(format: .f32, rounding: 1e-6), Case(format: .bf16, rounding: 4e-3),
            Case(format: .int8, rounding: 0.015), Case(format: .int8, group: 32, rounding: 0.015),
            Case(format: .int8, group: 128, rounding: 0.015), Case(format: .int4, rounding: 0.11),
            Case(format: .int4, group: 64, rounding: 0.13), Case(format: .int4, group: 128, rounding: 0.15),
        ]
    }

    /// Column counts around each vector width and group, so that every tail runs.
    static let columns = [1, 7, 16, 17, 31, 33, 63, 64, 65, 127, 129, 200, 300]

    @Test(
        "agrees with double precision in the same arithmetic", arguments: InstructionSet.available, Case.all)
    func matchesReference(isa: InstructionSet, use: Case) throws {
        var numbers = Numbers(seed: 1)
        for (index, columns) in Self.columns.enumerated() {
            let rows = [1, 15, 16, 17, 40, 33, 70][index % 7]
            let w = try matrix(numbers.next(rows * columns), rows: rows, columns: columns, use)
            let values = w.dequantized()
            let bias = numbers.next(rows)
            for tokens in index % 4 == 0 ? Array(1...17) + [48] : [1, 2, 5, 13] {
                let x = numbers.next(tokens * columns)
                var y = [Float](repeating: .nan, count: tokens * rows)
                var out = y.mutableSpan
                linear(x.span, w, bias: bias.span, into: &out, tokens: tokens, pool: Self.pool, on: isa)
                let used = use.format.activations(x, columns: columns, group: use.group, isa: isa)
                expectClose(y, used, values, bias, tokens: tokens, tolerance: 4e-6)
            }
        }
    }

    @Test(
        "a long product passes through every level of blocking", arguments: InstructionSet.available, Case.all
    )
    func blocks(isa: InstructionSet, use: Case) throws {
        var numbers = Numbers(seed: 2)
        let (rows, columns, tokens) = (72, 2_200, 130)
        let w = try matrix(numbers.next(rows * columns), rows: rows, columns: columns, use)
        let values = w.dequantized()
        let x = numbers.next(tokens * columns)
        var y = [Float](repeating: .nan, count: tokens * rows)
        var out = y.mutableSpan
        linear(x.span, w, into: &out, tokens: tokens, pool: Self.pool, on: isa)
        let used = use.format.activations(x, columns: columns, group: use.group, isa: isa)
        // A few tokens of every chunk.
        for token in [0, 1, 59, 64, 66, 129] {
            expectClose(
                Array(y[token * rows..<(token + 1) * rows]),
                Array(used[token * columns..<(token + 1) * columns]), values,
                [Float](repeating: 0, count: rows), tokens: 1, tolerance: 4e-6)
        }
    }

    @Test(
        "a row's product has the same bits however many rows there are", arguments: InstructionSet.available,
        Case.all)
    func invariance(isa: InstructionSet, use: Case) throws {
        var numbers = Numbers(seed: 6)
        let (rows, columns, tokens) = (40, 2_200, 130)
        let w = try matrix(numbers.next(rows * columns), rows: rows, columns: columns, use)
        let x = numbers.next(tokens * columns)
        func product(_ range: Range<Int>) -> [Float] {
            var y = [Float](repeating: .nan, count: range.count * rows)
            var out = y.mutableSpan
            linear(
                x.span.extracting(range.lowerBound * columns..<range.upperBound * columns), w, into: &out,
                tokens: range.count, pool: Self.pool, on: isa)
            return y
        }
        let all = product(0..<tokens)
        for range in [0..<1, 129..<130, 3..<5, 60..<66, 20..<32, 10..<23, 1..<50] {
            #expect(product(range) == Array(all[range.lowerBound * rows..<range.upperBound * rows]))
        }
    }

    @Test("rounding costs no more than documented", arguments: Case.all)
    func rounding(use: Case) throws {
        var numbers = Numbers(seed: 3)
        let (rows, columns, tokens) = (64, 512, 4)
        let values = numbers.next(rows * columns)
        let x = numbers.next(tokens * columns)
        let w = try matrix(values, rows: rows, columns: columns, use)
        var y = [Float](repeating: .nan, count: tokens * rows)
        var out = y.mutableSpan
        linear(x.span, w, into: &out, tokens: tokens, pool: Self.pool)
        var (errors, squares) = (0.0, 0.0)
        for t in 0..<tokens {
            for r in 0..<rows {
                let want = dot(x, t * columns, values, r * columns, count: columns)
                errors += (Double(y[t * rows + r]) - want) * (Double(y[t * rows + r]) - want)
                squares += want * want
            }
        }
        #expect((errors / squares).squareRoot() < use.rounding)
    }

    @Test(
        "a token with a value that is not finite gives NaN, its neighbours do not notice",
        arguments: InstructionSet.available, Case.all)
    func notFinite(isa: InstructionSet, use: Case) throws {
        var numbers = Numbers(seed: 4)
        let (rows, columns, tokens) = (20, 150, 5)
        let w = try matrix(numbers.next(rows * columns), rows: rows, columns: columns, use)
        var x = numbers.next(tokens * columns)
        x[columns + 3] = .nan
        x[3 * columns + 149] = .infinity
        var y = [Float](repeating: 0, count: tokens * rows)
        var out = y.mutableSpan
        linear(x.span, w, into: &out, tokens: tokens, pool: Self.pool, on: isa)
        let integers = use.format == .int8 || use.format == .int4
        for r in 0..<rows {
            #expect(y[rows + r].isNaN)
            #expect(integers ? y[3 * rows + r].isNaN : !y[3 * rows + r].isFinite)
            for t in [0, 2, 4] { #expect(y[t * rows + r].isFinite) }
        }
    }

    @Test("activations of any size survive their rounding", arguments: InstructionSet.available, Case.all)
    func extremes(isa: InstructionSet, use: Case) throws {
        let columns = 64
        let w = try matrix([Float](repeating: 1, count: columns), rows: 1, columns: columns, use)
        for size: Float in [0, .leastNonzeroMagnitude, .leastNormalMagnitude, 1e-30, 1e-20, 1e20, 1e32] {
            let x = [Float](repeating: size, count: columns)
            var y: [Float] = [.nan]
            var out = y.mutableSpan
            linear(x.span, w, into: &out, tokens: 1, pool: Self.pool, on: isa)
            let want = size * 64
            #expect(abs(y[0] - want) <= max(want * 0.02, 1e-28), "\(size)")
        }
    }

    @Test("several callers share a pool and keep their own results")
    func severalCallers() async throws {
        var numbers = Numbers(seed: 5)
        let w = try matrix(numbers.next(64 * 96), rows: 64, columns: 96, Case(format: .int8, rounding: 0))
        let x = numbers.next(20 * 96)
        let product: @Sendable (Int) -> [Float] = { tokens in
            var y = [Float](repeating: .nan, count: tokens * 64)
            var out = y.mutableSpan
            linear(x.span.extracting(0..<tokens * 96), w, into: &out, tokens: tokens, pool: Self.pool)
            return y
        }
        let want = (1...20).map(product)
        await withTaskGroup(of: Bool.self) { group in
            for caller in 0..<4 {
                group.addTask {
                    (0..<40).allSatisfy { round in
                        let tokens = 1 + (round * 7 + caller) % 20
                        return product(tokens) == want[tokens - 1]
                    }
                }
            }
            for await same in group { #expect(same) }
        }
    }

    @Test("a wrong shape stops the process before any memory is read")
    func wrongShape() async {
        await #expect(processExitsWith: .failure) {
            let w = try PackedMatrix(rows: 16, columns: 8, format: .f32)
            let x = [Float](repeating: 0, count: 7)
            var y = [Float](repeating: 0, count: 16)
            var out = y.mutableSpan
            linear(x.span, w, into: &out, tokens: 1, pool: ThreadPool(threads: 1))
        }
    }

    // MARK: The reference

    private func matrix(_ values: [Float], rows: Int, columns: Int, _ use: Case) throws -> PackedMatrix {
        let w = try PackedMatrix(rows: rows, columns: columns, format: use.format, groupSize: use.group)
        w.pack(values, as: .f32, firstRow: 0, count: rows)
        return w
    }

    private func dot(_ x: [Float], _ xStart: Int, _ w: [Float], _ wStart: Int, count: Int) -> Double {
        var sum = 0.0
        for c in 0..<count { sum += Double(x[xStart + c]) * Double(w[wStart + c]) }
        return sum
    }

    /// Expects y = x · wᵀ + bias within the tolerance, relative to the lengths of the vectors multiplied.
    private func expectClose(
        _ y: [Float], _ x: [Float], _ w: [Float], _ bias: [Float], tokens: Int, tolerance: Double
    ) {
        let (rows, columns) = (y.count / tokens, x.count / tokens)
        var worst = 0.0
        for t in 0..<tokens {
            // Every third row of a token, in turn: the reference is slow.
            for r in stride(from: tokens < 3 ? 0 : t % 3, to: rows, by: tokens < 3 ? 1 : 3) {
                let want = dot(x, t * columns, w, r * columns, count: columns) + Double(bias[r])
                let error = abs(Double(y[t * rows + r]) - want) / Double(columns).squareRoot()
                worst = error.isNaN ? .infinity : max(worst, error)
            }
        }
        #expect(worst <= tolerance, "\(rows) x \(columns), \(tokens) tokens")
    }
}

extension PackedMatrix {
    private static let pool = ThreadPool(threads: 2)

    /// Packs the rows that lie in an array, from its byte `dropping` on.
    func pack<Element: BitwiseCopyable>(
        _ values: [Element], dropping: Int = 0, as type: ElementType, firstRow: Int, count: Int
    ) {
        unsafe values.withUnsafeBytes { bytes in
            unsafe pack(
                UnsafeRawBufferPointer(rebasing: bytes.dropFirst(dropping)), as: type, firstRow: firstRow,
                count: count, pool: Self.pool)
        }
    }

    /// All values that the kernels multiply by, row-major.
    fileprivate func dequantized() -> [Float] {
        var all: [Float] = []
        var row = [Float](repeating: 0, count: columns)
        for r in 0..<rows {
            var span = row.mutableSpan
            dequantize(row: r, into: &span)
            all += row
        }
        return all
    }
}

extension WeightFormat {
    /// What a kernel of this format makes of the activations before it multiplies.
    fileprivate func activations(_ x: [Float], columns: Int, group: Int?, isa: InstructionSet) -> [Float] {
        if self == .f32 || (self == .bf16 && isa != .avx512bf16) { return x }
        if self == .bf16 {
            return x.map { value in
                let bits = value.bitPattern
                return Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16 & 1)) & 0xffff_0000)
            }
        }
        let group = self == .int4 ? 32 : group ?? 128
        var rounded = x
        for row in stride(from: 0, to: x.count, by: columns) {
            for start in stride(from: row, to: row + columns, by: group) {
                let range = start..<min(start + group, row + columns)
                let largest = x[range].reduce(0) { max($0, abs($1)) }
                let (scale, inverse) = (largest / 127, 127 / largest)
                for i in range { rounded[i] = (x[i] * inverse).rounded(.toNearestOrEven) * scale }
            }
        }
        return rounded
    }
}

/// A fixed sequence of numbers in -1 ..< 1.
struct Numbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
    }

    mutating func next(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

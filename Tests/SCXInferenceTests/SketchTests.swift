import SCXInference
import Testing

@Suite("sketch")
struct SketchTests {
    static let pool = ThreadPool(threads: 2)
    static let p = Sketch.modulus

    @Test("the arithmetic agrees with 128 bits")
    func arithmetic() {
        var random = Words(seed: 1)
        let borders = [0, 1, 2, 1 << 60, 1 << 31, Self.p - 2, Self.p - 1]
        let numbers = borders + (0..<50).map { _ in random.factor() }
        for a in numbers {
            #expect(Sketch.reduce(a) == a && Sketch.reduce(a + Self.p) == a)
            for b in numbers {
                #expect(UInt128(Sketch.add(a, b)) == (UInt128(a) + UInt128(b)) % UInt128(Self.p))
                #expect(UInt128(Sketch.multiply(a, b)) == UInt128(a) * UInt128(b) % UInt128(Self.p))
            }
        }
        #expect(Sketch.reduce(.max) == 7)
    }

    /// Counts around each vector width and block.
    @Test(
        "a dot product agrees with 128 bits", arguments: InstructionSet.available,
        [0, 1, 3, 4, 5, 7, 8, 9, 16, 33, 511, 512, 513, 1_030, 5_000])
    func dot(isa: InstructionSet, count: Int) {
        var random = Words(seed: 2)
        let any = (0..<count).map { _ in Int32(bitPattern: random.next()) }
        let factors = (0..<count).map { _ in random.factor() }
        for q in [Int32.min, .max, -1, 0].map({ [Int32](repeating: $0, count: count) }) + [any] {
            for s in [factors, [UInt64](repeating: Self.p - 1, count: count)] {
                #expect(Sketch.dot(q.span, s.span, on: isa) == reference(q, s))
            }
        }
        // Factors above p stand for what is left of them.
        let large = factors.map { $0 | 7 << 61 }
        #expect(Sketch.dot(any.span, large.span, on: isa) == reference(any, large.map { $0 % Self.p }))
    }

    @Test(
        "the sketch of a matrix agrees with 128 bits", arguments: InstructionSet.available,
        [(1, 1), (7, 33), (16, 8), (17, 250), (33, 257), (250, 600)])
    func weights(isa: InstructionSet, shape: (rows: Int, columns: Int)) throws {
        var random = Words(seed: 3)
        let w = try RingMatrix(rows: shape.rows, columns: shape.columns, seed: 4)
        for largest in [true, false] {
            let s = (0..<shape.rows).map { _ in largest ? Self.p - 1 : random.factor() }
            let want = (0..<shape.columns).map { c in
                reference((0..<shape.rows).map { w.integers[$0 * shape.columns + c] }, s)
            }
            #expect(sketch(w, s, on: isa) == want)
        }
    }

    @Test("a right product passes and a wrong one does not", arguments: InstructionSet.available)
    func check(isa: InstructionSet) throws {
        var random = Words(seed: 5)
        let (rows, columns) = (70, 300)
        let w = try RingMatrix(rows: rows, columns: columns, seed: 6)
        let s = (0..<rows).map { _ in random.factor() }
        let sketch = sketch(w, s, on: isa)
        // No product wraps: 300 · 127 · 2¹⁵ < 2³¹.
        var x = (0..<columns).map { _ in Int32(Int16(truncatingIfNeeded: random.next())) }
        var y = w.product(x.map(UInt32.init(bitPattern:)), tokens: 1, pool: Self.pool, on: isa)
            .map(Int32.init(bitPattern:))
        let right = Sketch.dot(x.span, sketch.span, on: isa)
        #expect(Sketch.dot(y.span, s.span, on: isa) == right)
        for r in 0..<rows {
            let value = y[r]
            for wrong in [value &+ 1, value &- 1, value ^ .min, ~value, value ^ 1 << Int32(r % 32)] {
                y[r] = wrong
                #expect(Sketch.dot(y.span, s.span, on: isa) != right)
            }
            y[r] = value
        }
        // A product that wraps is a wrong one.
        x = x.map { $0 < 0 ? .min : .max }
        y = w.product(x.map(UInt32.init(bitPattern:)), tokens: 1, pool: Self.pool, on: isa)
            .map(Int32.init(bitPattern:))
        #expect(Sketch.dot(y.span, s.span, on: isa) != Sketch.dot(x.span, sketch.span, on: isa))
    }

    @Test("a wrong count or format stops the process before any memory is read")
    func wrongShape() async {
        await #expect(processExitsWith: .failure) {
            let (q, s): ([Int32], [UInt64]) = ([1, 2], [1])
            _ = Sketch.dot(q.span, s.span)
        }
        await #expect(processExitsWith: .failure) {
            let w = try PackedMatrix(rows: 2, columns: 2, format: .bf16)
            let s: [UInt64] = [1, 2]
            var out: [UInt64] = [0, 0]
            var span = out.mutableSpan
            Sketch.weights(w, s.span, into: &span, pool: Self.pool)
        }
    }

    private func sketch(_ w: RingMatrix, _ s: [UInt64], on isa: InstructionSet) -> [UInt64] {
        var out = [UInt64](repeating: .max, count: w.packed.columns)
        var span = out.mutableSpan
        Sketch.weights(w.packed, s.span, into: &span, pool: Self.pool, on: isa)
        return out
    }

    private func reference(_ q: [Int32], _ s: [UInt64]) -> UInt64 {
        let p = Int128(Self.p)
        let sum = zip(q, s).reduce(Int128(0)) { ($0 + Int128($1.0) * Int128($1.1)) % p }
        return UInt64(sum < 0 ? sum + p : sum)
    }
}

extension Words {
    /// A number below 2⁶¹ - 1.
    fileprivate mutating func factor() -> UInt64 {
        (UInt64(next()) << 32 | UInt64(next())) % Sketch.modulus
    }
}

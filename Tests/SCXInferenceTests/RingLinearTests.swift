import SCXInference
import Testing

@Suite("ring linear kernel")
struct RingLinearTests {
    static let pools = [ThreadPool(threads: 1), ThreadPool(threads: 2)]

    /// Factors at the borders of every way to cut 32 bits in halves.
    static let borders: [UInt32] = [
        0xffff_ffff, 0x8000_0000, 0x7fff_8000, 0x8000, 0x7fff, 0xffff_8000, 0x8000_8000, 0x7fff_ffff,
        0x8000_7fff, 0, 1,
    ]

    @Test(
        "agrees with 64-bit arithmetic", arguments: InstructionSet.available, [1, 7, 15, 17, 33, 250])
    func matchesReference(isa: InstructionSet, columns: Int) throws {
        for (index, rows) in [1, 7, 15, 17, 33, 250].enumerated() {
            let w = try RingMatrix(rows: rows, columns: columns, seed: UInt64(columns + rows))
            for tokens in rows < 250 ? Array(1...17) + [64] : [1, 3, 12, 100] {
                var random = Words(seed: UInt64(tokens))
                let z = (0..<tokens * columns).map { i in
                    // Whole rows at a border, then borders mixed, then any number.
                    let token = i / columns
                    let any = random.next()
                    return switch token % 3 {
                    case 0: Self.borders[(token / 3 + index) % Self.borders.count]
                    case 1: Self.borders[Int(any) % Self.borders.count]
                    default: any
                    }
                }
                let pool = Self.pools[tokens % 2]
                #expect(w.product(z, tokens: tokens, pool: pool, on: isa) == w.reference(z, tokens: tokens))
            }
        }
    }

    @Test("a long product passes through every level of blocking", arguments: InstructionSet.available)
    func blocks(isa: InstructionSet) throws {
        let (tokens, columns) = (250, 2_200)
        let w = try RingMatrix(rows: 72, columns: columns, seed: 3)
        var random = Words(seed: 4)
        let z = (0..<tokens * columns).map { _ in random.next() }
        let want = w.reference(z, tokens: tokens)
        for pool in Self.pools {
            #expect(w.product(z, tokens: tokens, pool: pool, on: isa) == want)
        }
    }

    @Test("scales and norms are those of the integers", arguments: [1, 17, 250])
    func scales(columns: Int) throws {
        var numbers = Numbers(seed: 5)
        let rows = 35
        let w = try PackedMatrix(rows: rows, columns: columns, format: .int8)
        w.pack(numbers.next((rows - 1) * columns), as: .f32, firstRow: 0, count: rows - 1)
        let scales = w.rowScales
        let norms = w.rowNorms(pool: Self.pools[1])
        #expect(w.isRing && scales.count == rows && norms.count == rows)
        var row = [Float](repeating: 0, count: columns)
        for r in 0..<rows - 1 {
            var span = row.mutableSpan
            w.dequantize(row: r, into: &span)
            let integers = row.map { Int(($0 / scales[r]).rounded()) }
            #expect(zip(row, integers).allSatisfy { $0 == Float($1) * scales[r] })
            #expect(norms[r] == integers.reduce(0) { $0 + UInt64($1 * $1) })
        }
        #expect(scales[rows - 1] == 0 && norms[rows - 1] == 0)
    }

    @Test("other formats are not in ring form")
    func otherFormats() throws {
        #expect(try !PackedMatrix(rows: 1, columns: 64, format: .bf16).isRing)
        #expect(try !PackedMatrix(rows: 1, columns: 64, format: .int8, groupSize: 32).isRing)
        #expect(try PackedMatrix(rows: 1, columns: 32, format: .int8, groupSize: 32).isRing)
    }

    @Test("a wrong format or shape stops the process before any memory is read")
    func wrongShape() async {
        await #expect(processExitsWith: .failure) { try multiply(format: .int4, columns: 8) }
        await #expect(processExitsWith: .failure) { try multiply(format: .int8, columns: 7) }
    }
}

private func multiply(format: WeightFormat, columns: Int) throws {
    let w = try PackedMatrix(rows: 16, columns: 8, format: format)
    let z = [UInt32](repeating: 0, count: columns)
    var y = [UInt32](repeating: 0, count: 16)
    var out = y.mutableSpan
    ringLinear(z.span, w, into: &out, tokens: 1, pool: ThreadPool(threads: 1))
}

/// Integers from -127 to 127, packed, and beside it as they are.
struct RingMatrix {
    let packed: PackedMatrix
    /// `[rows, columns]`, row-major.
    let integers: [Int32]

    /// Rows in turn of 127 and -127 alone, of both mixed, and of any integers.
    init(rows: Int, columns: Int, seed: UInt64) throws {
        var random = Words(seed: seed)
        integers = (0..<rows * columns).map { i in
            let any = Int32(random.next() % 255) - 127
            // Each row has a 127, so that its scale is 1 and its floats are packed as they are.
            if i % columns == 0 { return i / columns % 2 == 0 ? 127 : -127 }
            return switch i / columns % 4 {
            case 0: 127
            case 1: -127
            case 2: any < 0 ? -127 : 127
            default: any
            }
        }
        packed = try PackedMatrix(rows: rows, columns: columns, format: .int8)
        packed.pack(integers.map(Float.init), as: .f32, firstRow: 0, count: rows)
    }

    func product(_ z: [UInt32], tokens: Int, pool: ThreadPool, on isa: InstructionSet) -> [UInt32] {
        var y = [UInt32](repeating: 0x5555_5555, count: tokens * packed.rows)
        var out = y.mutableSpan
        ringLinear(z.span, packed, into: &out, tokens: tokens, pool: pool, on: isa)
        return y
    }

    func reference(_ z: [UInt32], tokens: Int) -> [UInt32] {
        let columns = packed.columns
        return (0..<tokens * packed.rows).map { i in
            let (token, row) = (i / packed.rows, i % packed.rows)
            var sum: Int64 = 0
            for c in 0..<columns { sum += Int64(z[token * columns + c]) * Int64(integers[row * columns + c]) }
            return UInt32(truncatingIfNeeded: sum)
        }
    }
}

/// A fixed sequence of 32-bit numbers.
struct Words {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt32 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt32(truncatingIfNeeded: state >> 32)
    }
}

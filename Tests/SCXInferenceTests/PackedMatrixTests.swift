import SCXInference
import Testing

@Suite("packed matrix")
struct PackedMatrixTests {
    @Test("float32 comes back exactly, bfloat16 too from bfloat16", arguments: [1, 7, 16, 17, 65, 300])
    func exact(columns: Int) throws {
        var numbers = Numbers(seed: 7)
        let values = numbers.next(40 * columns)
        let whole = try PackedMatrix(rows: 40, columns: columns, format: .f32)
        whole.pack(values, as: .f32, firstRow: 0, count: 40)
        #expect(rows(of: whole) == values)

        let halves = values.map { UInt16($0.bitPattern >> 16) }
        let short = try PackedMatrix(rows: 40, columns: columns, format: .bf16)
        short.pack(halves, as: .bf16, firstRow: 0, count: 40)
        #expect(rows(of: short) == halves.map { Float(bitPattern: UInt32($0) << 16) })
    }

    @Test("rows packed in pieces at odd places equal rows packed at once", arguments: WeightFormat.allCases)
    func fused(format: WeightFormat) throws {
        var numbers = Numbers(seed: 8)
        let columns = 75
        let values = numbers.next(61 * columns)
        let whole = try PackedMatrix(rows: 61, columns: columns, format: format)
        whole.pack(values, as: .f32, firstRow: 0, count: 61)
        let pieces = try PackedMatrix(rows: 61, columns: columns, format: format)
        for (first, count) in [(23, 1), (0, 23), (24, 37), (61, 0)] {
            let piece = Array(values[first * columns..<(first + count) * columns])
            pieces.pack(piece, as: .f32, firstRow: first, count: count)
        }
        #expect(rows(of: pieces) == rows(of: whole))
    }

    @Test("sources may lie at any address", arguments: ElementType.allCases)
    func unaligned(type: ElementType) throws {
        var numbers = Numbers(seed: 9)
        let values = numbers.next(3 * 50)
        var bytes: [UInt8] = [0]
        for value in values {
            switch type {
            case .f32: bytes += littleEndian(value.bitPattern)
            case .f16: bytes += littleEndian(Float16(value).bitPattern)
            case .bf16: bytes += littleEndian(UInt16(value.bitPattern >> 16))
            }
        }
        let w = try PackedMatrix(rows: 3, columns: 50, format: .f32)
        w.pack(bytes, dropping: 1, as: type, firstRow: 0, count: 3)
        let want = values.map { value in
            switch type {
            case .f32: value
            case .f16: Float(Float16(value))
            case .bf16: Float(bitPattern: value.bitPattern & 0xffff_0000)
            }
        }
        #expect(rows(of: w) == want)
    }

    @Test("every half is read exactly, subnormals, infinities and NaN included")
    func halves() throws {
        let all = (0...UInt16.max).map { $0 }
        let w = try PackedMatrix(rows: 256, columns: 256, format: .f32)
        w.pack(all, as: .f16, firstRow: 0, count: 256)
        let read = rows(of: w)
        #expect(zip(read, all).allSatisfy { same($0, Float(Float16(bitPattern: $1))) })

        // Rounding to bfloat16 is to nearest even, as in every other program.
        let rounded = try PackedMatrix(rows: 256, columns: 256, format: .bf16)
        rounded.pack(all, as: .f16, firstRow: 0, count: 256)
        let want = read.map { value in
            let bits = value.bitPattern
            return value.isNaN ? value : Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16 & 1)) & 0xffff_0000)
        }
        #expect(zip(rows(of: rounded), want).allSatisfy { $1.isNaN ? $0.isNaN : same($0, $1) })
    }

    @Test(
        "quantised values are as near as their scales allow",
        arguments: [(WeightFormat.int8, nil, 127.0), (.int8, 32, 126), (.int8, 128, 126), (.int4, 32, 7)]
            as [(WeightFormat, Int?, Double)])
    func quantised(format: WeightFormat, group: Int?, steps: Double) throws {
        var numbers = Numbers(seed: 10)
        let values = numbers.next(20 * 90)
        let w = try PackedMatrix(rows: 20, columns: 90, format: format, groupSize: group)
        w.pack(values, as: .f32, firstRow: 0, count: 20)
        // int4 may clip its largest values by a step for the sake of the rest.
        let limit = (format == .int4 ? 1.01 : 0.51) / steps
        #expect(zip(rows(of: w), values).allSatisfy { Double(abs($0 - $1)) <= limit })
    }

    @Test("weights of zero, tiny, huge and not finite stay what they are", arguments: WeightFormat.allCases)
    func extremes(format: WeightFormat) throws {
        var values = [Float](repeating: 0, count: 6 * 40)
        values[40] = .nan
        values[80] = -.infinity
        values[120] = 1e36
        values[160] = 1e-30
        values[200] = -.leastNonzeroMagnitude
        let w = try PackedMatrix(rows: 6, columns: 40, format: format)
        w.pack(values, as: .f32, firstRow: 0, count: 6)
        let read = rows(of: w)
        #expect(read[0..<40].allSatisfy { $0 == 0 })
        #expect(read[40].isNaN && !read[80].isFinite)
        #expect(abs(read[120] / 1e36 - 1) < 0.01 && abs(read[160] / 1e-30 - 1) < 0.01)
        #expect(abs(read[200]) <= .leastNonzeroMagnitude)
    }

    @Test("counts its memory: 4, 2, 1 and 0.5625 bytes a weight")
    func memory() throws {
        #expect(try PackedMatrix(rows: 64, columns: 128, format: .f32).byteCount == 64 * 128 * 4)
        #expect(try PackedMatrix(rows: 64, columns: 128, format: .bf16).byteCount == 64 * 128 * 2)
        #expect(try PackedMatrix(rows: 64, columns: 128, format: .int8).byteCount == 64 * 128 + 64 * 4)
        #expect(try PackedMatrix(rows: 64, columns: 128, format: .int4).byteCount == 64 * (64 + 8))
        #expect(try PackedMatrix(rows: 1, columns: 1, format: .int4).byteCount == 16 * (4 + 2))
    }

    @Test("what no machine can hold is an error")
    func outOfMemory() {
        #expect(throws: KernelError.outOfMemory(bytes: 1 << 56)) {
            try PackedMatrix(rows: 1 << 27, columns: 1 << 27, format: .f32)
        }
        #expect(throws: KernelError.tooLarge(rows: .max, columns: 2)) {
            try PackedMatrix(rows: .max, columns: 2, format: .int4)
        }
    }

    @Test("rows beyond the matrix stop the process")
    func wrongRows() async {
        await #expect(processExitsWith: .failure) {
            let w = try PackedMatrix(rows: 16, columns: 4, format: .bf16)
            let values = [Float](repeating: 0, count: 8)
            w.pack(values, as: .f32, firstRow: 15, count: 2)
        }
    }

    private func rows(of w: PackedMatrix) -> [Float] {
        var all: [Float] = []
        var row = [Float](repeating: 0, count: w.columns)
        for r in 0..<w.rows {
            var span = row.mutableSpan
            w.dequantize(row: r, into: &span)
            all += row
        }
        return all
    }

    private func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * Value($0))) }
    }

    private func same(_ a: Float, _ b: Float) -> Bool { a.isNaN ? b.isNaN : a.bitPattern == b.bitPattern }
}

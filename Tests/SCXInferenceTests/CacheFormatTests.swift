import SCXInference
import Testing

@Suite("formats of the key-value cache")
struct CacheFormatTests {
    typealias Format = LayerCache.Format

    /// What a cache of one head makes of keys and values; token t's are `keys[t]` and `values[t]`.
    static func stored(
        _ keys: [[Float]], _ values: [[Float]], _ format: Format
    ) throws -> [(keys: [Float], values: [Float])] {
        let size = keys[0].count
        let cache = LayerCache(kvHeads: 1, headSize: size, format: format)
        let rows = zip(keys, values).flatMap { $0 + $1 }
        try cache.append(rows.span, keyOffset: 0, valueOffset: size, stride: 2 * size, tokens: keys.count)
        return keys.indices.map { cache.stored($0) }
    }

    /// What one head of a token becomes; keys, values and ``LayerCache/Format/rounded(_:headSize:)`` must agree.
    static func rounded(_ head: [Float], _ format: Format) throws -> [Float] {
        let other = head.map { $0.isFinite ? $0 / 2 + 1 : 1 }
        let found = try stored([other, head], [head, other], format)
        let bits = found[0].values.map(\.bitPattern)
        #expect(found[1].keys.map(\.bitPattern) == bits)
        #expect(format.rounded(head[...], headSize: head.count).map(\.bitPattern) == bits)
        return found[0].values
    }

    @Test("elements come back within the bounds of the format", arguments: Format.allCases, [1, 7, 16, 40])
    func bounds(format: Format, size: Int) throws {
        for (seed, magnitude) in [1e-30, 1e-7, 3e-5, 1e-3, 1, 100, 3e4].enumerated() {
            let head = noise(size, seed: UInt64(seed) + 1).map { $0 * Float(magnitude) }
            let step = Double(head.map(abs).max() ?? 0) / 127
            for (x, y) in zip(head, try Self.rounded(head, format)) {
                let (exact, error) = (abs(Double(x)), abs(Double(x) - Double(y)))
                switch format {
                case .f32: #expect(error == 0)
                case .bf16: #expect(error <= exact * 0x1p-8)
                case .f16: #expect(error <= max(exact * 0x1p-11, 0x1p-25))
                // Beyond a half, what the division and the product round.
                case .int8: #expect(error <= step * 0.500_02)
                }
            }
        }
    }

    @Test("halves come back exactly, and are rounded as Float16 rounds")
    func halves() throws {
        let halves = (UInt16.min...UInt16.max).map { Float(Float16(bitPattern: $0)) }.filter { !$0.isNaN }
        for start in stride(from: 0, to: halves.count, by: 512) {
            let head = Array(halves[start..<min(start + 512, halves.count)])
            #expect(try Self.rounded(head, .f16).map(\.bitPattern) == head.map(\.bitPattern))
        }
        // Numbers between, those half-way between two halves, and those next to them.
        var numbers = noise(4_096, seed: 8).enumerated().map {
            $1 * Float(sign: .plus, exponent: $0 % 44 - 27, significand: 1)
        }
        for (a, b) in zip(halves, halves.dropFirst()) where a.isFinite && b.isFinite && a.ulp * b.ulp < 1 {
            let middle = (a + b) / 2
            numbers += [middle, middle.nextUp, middle.nextDown]
        }
        for start in stride(from: 0, to: numbers.count, by: 4_096) {
            let head = Array(numbers[start..<min(start + 4_096, numbers.count)])
            let want = head.map { max(-65_504, min(65_504, Float(Float16($0)))).bitPattern }
            #expect(try Self.rounded(head, .f16).map(\.bitPattern) == want)
        }
    }

    @Test("halves: what is too large becomes ±65504, infinities and NaN stay")
    func halvesBeyond() throws {
        let head: [Float] = [65_504, 65_519.99, 65_520, -65_536, 1e30, -Float.greatestFiniteMagnitude]
        #expect(try Self.rounded(head, .f16) == [65_504, 65_504, 65_504, -65_504, 65_504, -65_504])
        let others = try Self.rounded([.infinity, -.infinity, .nan, -0.0], .f16)
        #expect(others[0] == .infinity && others[1] == -.infinity && others[2].isNaN)
        #expect(others[3].bitPattern == Float(-0.0).bitPattern)
    }

    @Test("bfloat16: all come back exactly, NaN stays NaN")
    func shortFloats() throws {
        let all = (UInt32(0)...0xFFFF).map { Float(bitPattern: $0 << 16) }
        for start in stride(from: 0, to: all.count, by: 1_024) {
            let head = Array(all[start..<start + 1_024])
            for (x, y) in zip(head, try Self.rounded(head, .bf16)) {
                #expect(x.isNaN ? y.isNaN : x.bitPattern == y.bitPattern)
            }
        }
    }

    @Test("int8: the largest element stays, a head of zeros too, and no size is beyond it")
    func integers() throws {
        for magnitude in [
            Float.leastNonzeroMagnitude, 0x1p-140, 1e-37, 1e-20, 1, 1e20, .greatestFiniteMagnitude,
        ] {
            let head = [magnitude, -magnitude, magnitude / 3, 0]
            let found = try Self.rounded(head, .int8)
            // The scale is at least 2⁻¹²⁶.
            let half = max(magnitude / 127, .leastNormalMagnitude) / 2
            for (x, y) in zip(head, found) { #expect(abs(x - y) <= half * 1.000_1, "\(magnitude)") }
            if magnitude > 1e-30 { #expect(abs(found[0] - magnitude) <= magnitude * 0x1p-23) }
        }
        #expect(try Self.rounded([0, -0.0, 0], .int8) == [0, 0, 0])
        // Multiples of the scale come back exactly.
        let numbers = (-127...127).map(Float.init)
        #expect(try Self.rounded(numbers, .int8) == numbers)
        #expect(try Self.rounded([127, 2.5, 3.5, -0.5, -1.5], .int8) == [127, 2, 4, 0, -2])
    }

    @Test("int8: a head with an element that is not finite is NaN, and no other head is")
    func integersNotFinite() throws {
        for bad in [Float.nan, .infinity, -.infinity] {
            let cache = LayerCache(kvHeads: 2, headSize: 3, format: .int8)
            let rows: [Float] = [
                1, bad, 2, 4, 5, 6, 7, 8, 9, bad, bad, bad, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4,
            ]
            try cache.append(rows.span, keyOffset: 0, valueOffset: 6, stride: 12, tokens: 2)
            let (keys, values) = cache.stored(0)
            #expect(keys[..<3].allSatisfy(\.isNaN) && keys[3...].allSatisfy(\.isFinite))
            #expect(values[..<3].allSatisfy(\.isFinite) && values[3...].allSatisfy(\.isNaN))
            #expect(cache.stored(1).keys == [1, 1, 1, 2, 2, 2])
            let rounded = Format.int8.rounded([bad, 1], headSize: 2)
            #expect(rounded[0].isNaN && rounded[1].isNaN)
        }
    }

    @Test(
        "each instruction set reads every element exactly", arguments: InstructionSet.available,
        [Format.bf16, .f16, .int8])
    func reading(isa: InstructionSet, format: Format) throws {
        let all: [Float] =
            switch format {
            case .f32: []
            case .bf16: (UInt32(0)...0xFFFF).map { Float(bitPattern: $0 << 16) }
            case .f16: (UInt16.min...UInt16.max).map { Float(Float16(bitPattern: $0)) }
            case .int8: (-127...127).map { Float($0) * 0.37 }
            }
        let size = 4_096
        let finite = all.filter(\.isFinite)
        for start in stride(from: 0, to: finite.count, by: size) {
            var head = Array(finite[start..<min(start + size, finite.count)])
            head += repeatElement(0, count: size - head.count)
            // One token is seen with weight 1, so that its values come out as they were read.
            let cache = LayerCache(kvHeads: 1, headSize: size, format: format)
            let rows = [Float](repeating: 0, count: size) + head
            try cache.append(rows.span, keyOffset: 0, valueOffset: size, stride: 2 * size, tokens: 1)
            var out = [Float](repeating: .nan, count: size)
            var span = out.mutableSpan
            attention(
                rows.span, stride: size, tokens: 1, heads: 1, cache: cache, scale: 1, into: &span, on: isa)
            #expect(out == cache.stored(0).values)
        }
    }

    @Test("wrong shapes stop the process")
    func wrongShapes() async {
        await #expect(processExitsWith: .failure) { _ = Format.int8.rounded([1, 2, 3], headSize: 2) }
        await #expect(processExitsWith: .failure) {
            _ = LayerCache(kvHeads: 1, headSize: 4, format: .int8).stored(0)
        }
    }
}

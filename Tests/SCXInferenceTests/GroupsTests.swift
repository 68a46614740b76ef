import SCXInference
import Testing

@Suite("numbers in groups")
struct GroupsTests {
    static let counts = [1, 2, 63, 64, 65, 127, 128, 200, 1_000]

    /// Rounds all numbers, and checks that the groups stand for what the kernel says.
    static func rounded(
        _ x: [Float], bits: Int, on isa: InstructionSet = .detected, prefix: Int = 0
    ) -> (values: [Float], words: [UInt32])? {
        var words = [UInt32](
            repeating: 7, count: prefix + Groups.wordCount(x.count - prefix, bits: bits))
        var out = [Float](repeating: 7, count: x.count)
        var w = words.mutableSpan
        var o = out.mutableSpan
        guard Groups.quantize(x.span, from: prefix, bits: bits, into: &w, rounded: &o, on: isa) else {
            return nil
        }
        for other in InstructionSet.available {
            var again = [Float](repeating: 7, count: x.count)
            var span = again.mutableSpan
            let isRead = Groups.dequantize(words.span, from: prefix, bits: bits, into: &span, on: other)
            #expect(isRead && again == out)
        }
        return (out, words)
    }

    @Test("an error is at most half a step", arguments: InstructionSet.available, [4, 8])
    func error(isa: InstructionSet, bits: Int) throws {
        let levels = Float((1 << bits) - 1)
        for (index, count) in Self.counts.enumerated() {
            for (scale, shift): (Float, Float) in [(1, 0), (1e-3, 100), (3e4, -5e3), (1e-6, 0), (0, -3.3)] {
                let x = noise(count, seed: UInt64(index)).map { $0 * scale + shift }
                let (got, words) = try #require(Self.rounded(x, bits: bits, on: isa))
                let stride = 1 + 2 * bits
                #expect(words.count == (count + 63) / 64 * stride)
                for start in Swift.stride(from: 0, to: count, by: 64) {
                    let group = start..<min(start + 64, count)
                    let low = x[group].min() ?? 0
                    let minimum = Float(
                        Float16(bitPattern: UInt16(truncatingIfNeeded: words[start / 64 * stride])))
                    let step = Float(Float16(bitPattern: UInt16(words[start / 64 * stride] >> 16)))
                    // Rounded outwards by no more than a unit in the last place.
                    #expect(minimum <= low && low - minimum <= max(abs(low) * 0x1p-10, 0x1p-24))
                    let exactStep = ((x[group].max() ?? 0) - minimum) / levels
                    #expect(step >= exactStep * 0.999999 && step <= exactStep * 1.001 + 0x1p-24)
                    for i in group { #expect(abs(got[i] - x[i]) <= step * 0.50001 + abs(x[i]) * 0x1p-23) }
                }
            }
        }
    }

    @Test("codes lie where they are said to", arguments: InstructionSet.available, [4, 8])
    func layout(isa: InstructionSet, bits: Int) throws {
        let levels = (1 << bits) - 1
        let codes = (0..<70).map { $0 == 0 ? 0 : $0 == 1 || $0 == 65 ? levels : $0 * 37 % (levels + 1) }
        let x = codes.enumerated().map { i, code in
            // Group 1 has another minimum; its first is code 27 · 37 mod …, so say where it is.
            i < 64 ? -1.5 + 0.25 * Float(code) : 8 + 2 * Float(i == 64 ? 0 : code)
        }
        let (got, words) = try #require(Self.rounded(x, bits: bits, on: isa))
        #expect(got == x)
        #expect(words[0] == UInt32(Float16(-1.5).bitPattern) | UInt32(Float16(0.25).bitPattern) << 16)
        let second = 1 + 2 * bits
        #expect(words[second] == UInt32(Float16(8).bitPattern) | UInt32(Float16(2).bitPattern) << 16)
        for i in 0..<64 {
            let word = words[1 + i * bits / 32]
            #expect(Int(word >> (UInt32(i * bits) % 32)) & levels == codes[i])
        }
    }

    @Test("groups of one number are exact where a half holds it", arguments: [4, 8])
    func constant(bits: Int) throws {
        for value: Float in [0, -0.0, 1, -3.5, 65_504, -65_504, 0x1p-24] {
            let (got, words) = try #require(
                Self.rounded([Float](repeating: value, count: 64), bits: bits))
            #expect(got.allSatisfy { $0 == value })
            #expect(words[0] >> 16 == 0)
        }
        let extremes = try #require(Self.rounded([65_504, -65_504], bits: bits))
        #expect(extremes.values[1] == -65_504 && abs(extremes.values[0] - 65_504) <= 8_800)
    }

    @Test("what a half cannot hold is refused", arguments: InstructionSet.available, [4, 8])
    func refused(isa: InstructionSet, bits: Int) {
        for value: Float in [.nan, -.nan, .infinity, -.infinity, 65_505, -65_505, .greatestFiniteMagnitude] {
            for index in [0, 1, 63, 64, 99] {
                var x = noise(100, seed: 1)
                x[index] = value
                #expect(Self.rounded(x, bits: bits, on: isa) == nil)
            }
        }
    }

    @Test("a prefix is left alone")
    func prefix() throws {
        let x = noise(100, seed: 2)
        let (got, words) = try #require(Self.rounded(x, bits: 8, prefix: 30))
        #expect(got[..<30].allSatisfy { $0 == 7 } && words[..<30].allSatisfy { $0 == 7 })
        let (rest, _) = try #require(Self.rounded(Array(x[30...]), bits: 8))
        #expect(Array(got[30...]) == rest)
        #expect(Self.rounded(x, bits: 4, prefix: 100)?.values == [Float](repeating: 7, count: 100))
    }

    @Test("minima and steps that are no numbers are refused", arguments: InstructionSet.available, [4, 8])
    func hostile(isa: InstructionSet, bits: Int) throws {
        for head: UInt32 in [0x7C00, 0xFC00, 0x7E00, 0x7C00_0000, 0xFFFF_0000, 0x7C01_7C01] {
            for group in [0, 1] {
                var words = [UInt32](repeating: .max, count: Groups.wordCount(70, bits: bits))
                words[0] = 0x3C00_3C00
                words[1 + 2 * bits] = 0x3C00_3C00
                var out = [Float](repeating: 0, count: 70)
                var span = out.mutableSpan
                #expect(Groups.dequantize(words.span, from: 0, bits: bits, into: &span, on: isa))
                #expect(out.allSatisfy { $0 == Float(1 << bits) })
                words[group * (1 + 2 * bits)] = head
                span = out.mutableSpan
                #expect(!Groups.dequantize(words.span, from: 0, bits: bits, into: &span, on: isa))
            }
        }
    }
}

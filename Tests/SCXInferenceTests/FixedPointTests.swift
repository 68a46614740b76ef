import SCXInference
import Testing

@Suite("fixed point")
struct FixedPointTests {
    static let counts = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 250, 1_000]

    @Test("a sum of squares has the documented order", arguments: counts)
    func squares(count: Int) {
        var numbers = Numbers(seed: 1)
        let x = numbers.next(count).map { $0 * ($0 > 0.9 ? 1e18 : 1e-3) }
        var sums = [Double](repeating: 0, count: 8)
        for (i, value) in x.enumerated() { sums[i % 8] += Double(value) * Double(value) }
        let want = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
        #expect(sumOfSquares(x.span) == want)
    }

    @Test("encodes to the nearest integers, ties to even, up to 2³¹", arguments: counts)
    func encode(count: Int) {
        var numbers = Numbers(seed: 2)
        var random = Words(seed: 3)
        let borders: [Float] = [
            0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, 4_194_303.5, 8_388_607.5, 16_777_216,
            2_147_483_520, -2_147_483_520, 1_073_741_824, .leastNonzeroMagnitude,
        ]
        let scales: [Float] = [1, 0x1p-7, 3.7e8]
        for scale in scales {
            let x = (0..<count).map { i in
                i < borders.count && scale == 1 ? borders[i] : numbers.next() * 0x1.fffffcp30 / scale
            }
            let pad = (0..<count).map { _ in random.next() }
            let want = x.map { Int32(($0 * scale).rounded(.toNearestOrEven)) }

            var q = [Int32](repeating: 7, count: count + 3)
            var z = [UInt32](repeating: 8, count: count + 3)
            encode(x, scale, pad, &q, &z)
            #expect(q == [7, 7] + want + [7])
            #expect(z == [8, 8] + zip(want, pad).map { UInt32(bitPattern: $0) &+ $1 } + [8])

            var alone = [Int32](repeating: 0, count: count)
            var out = alone.mutableSpan
            fixedEncode(x.span, scale: scale, into: &out)
            #expect(alone == want)
        }
    }

    @Test("decodes with each operation rounded", arguments: counts)
    func decode(count: Int) {
        var numbers = Numbers(seed: 4)
        var random = Words(seed: 5)
        let y = (0..<count).map { i in i % 5 == 0 ? 0x8000_0000 : random.next() }
        let product = (0..<count).map { i in i % 7 == 0 ? 0 : random.next() }
        let (columnScales, bias) = (numbers.next(count), numbers.next(count))
        let scale: Float = 0x1.2345p-20
        for (product, bias) in [(product, bias), ([], bias), (product, []), ([], [])] {
            var q = [Int32](repeating: 7, count: count + 3)
            var out = [Float](repeating: 8, count: count + 3)
            decode(y, product, columnScales, scale, bias, &q, &out)
            let want = y.indices.map { Int32(bitPattern: y[$0] &- (product.isEmpty ? 0 : product[$0])) }
            let values = want.indices.map { i in
                let value = Float(want[i]) * (scale * columnScales[i])
                return bias.isEmpty ? value : value + bias[i]
            }
            #expect(q == [7, 7] + want + [7])
            #expect(out == [8, 8] + values + [8])
        }
    }

    @Test("what is encoded comes back, whatever the pad", arguments: [1, 16, 1_000])
    func roundTrip(count: Int) {
        var numbers = Numbers(seed: 6)
        var random = Words(seed: 7)
        let x = numbers.next(count)
        let pad = (0..<count).map { _ in random.next() }
        var q = [Int32](repeating: 0, count: count + 3)
        var z = [UInt32](repeating: 0, count: count + 3)
        encode(x, 0x1p24, pad, &q, &z)

        var back = [Int32](repeating: 0, count: count + 3)
        var out = [Float](repeating: 0, count: count + 3)
        let ones = [Float](repeating: 1, count: count)
        decode(Array(z[2..<count + 2]), pad, ones, 0x1p-24, [], &back, &out)
        #expect(back == q)
        #expect(zip(x, out[2...]).allSatisfy { abs($0 - $1) <= 0x1p-25 })

        var difference = z.mutableSpan
        ringSubtract(pad.span, from: &difference, at: 2)
        #expect(z.map { Int32(bitPattern: $0) } == q)
    }

    @Test("a wrong count stops the process before any memory is read")
    func wrongCounts() async {
        await #expect(processExitsWith: .failure) {
            var (q, z) = ([Int32](repeating: 0, count: 4), [UInt32](repeating: 0, count: 3))
            var integers = q.mutableSpan
            var padded = z.mutableSpan
            let x: [Float] = [1, 2, 3, 4]
            let pad: [UInt32] = [1, 2, 3, 4]
            fixedEncode(x.span, scale: 1, pad: pad.span, into: &integers, &padded)
        }
        await #expect(processExitsWith: .failure) {
            var (q, values) = ([Int32](repeating: 0, count: 4), [Float](repeating: 0, count: 4))
            var integers = q.mutableSpan
            var out = values.mutableSpan
            let (y, product): ([UInt32], [UInt32]) = ([1, 2, 3], [1, 2])
            let scales: [Float] = [1, 1, 1]
            fixedDecode(
                y.span, product: product.span, columnScales: scales.span, scale: 1, bias: Span(),
                into: &integers, &out)
        }
        await #expect(processExitsWith: .failure) {
            var y: [UInt32] = [1, 2, 3]
            var out = y.mutableSpan
            let product: [UInt32] = [1, 2]
            ringSubtract(product.span, from: &out, at: 2)
        }
    }

    // MARK: Results from the third element on

    private func encode(
        _ x: [Float], _ scale: Float, _ pad: [UInt32], _ q: inout [Int32], _ z: inout [UInt32]
    ) {
        var integers = q.mutableSpan
        var padded = z.mutableSpan
        fixedEncode(x.span, scale: scale, pad: pad.span, into: &integers, &padded, at: 2)
    }

    private func decode(
        _ y: [UInt32], _ product: [UInt32], _ columnScales: [Float], _ scale: Float, _ bias: [Float],
        _ q: inout [Int32], _ out: inout [Float]
    ) {
        var integers = q.mutableSpan
        var values = out.mutableSpan
        fixedDecode(
            y.span, product: product.span, columnScales: columnScales.span, scale: scale, bias: bias.span,
            into: &integers, &values, at: 2)
    }
}

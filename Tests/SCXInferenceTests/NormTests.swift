import SCXInference
import Testing

@Suite("norms")
struct NormTests {
    static let widths = [1, 7, 8, 9, 16, 31, 64, 65, 200, 2_048]

    static func rms(_ x: ArraySlice<Float>, _ weight: [Float], _ epsilon: Double) -> [Double] {
        let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(x.count)
        return zip(x, weight).map { Double($0) / (mean + epsilon).squareRoot() * Double($1) }
    }

    @Test("rmsNorm agrees with double precision", arguments: InstructionSet.available, widths)
    func rmsNormMatches(isa: InstructionSet, channels: Int) {
        let x = noise(3 * channels, seed: 1)
        let weight = noise(channels, seed: 2)
        var out = [Float](repeating: .nan, count: x.count)
        var span = out.mutableSpan
        rmsNorm(x.span, weight: weight.span, epsilon: 1e-5, into: &span, on: isa)
        let want = (0..<3).flatMap { Self.rms(x[$0 * channels..<($0 + 1) * channels], weight, 1e-5) }
        #expect(farthest(out, want) < 2e-6)
    }

    @Test("rmsNorm of heads inside fused rows touches nothing else", arguments: InstructionSet.available)
    func rmsNormOfHeads(isa: InstructionSet) {
        let (rows, heads, size, stride, offset) = (5, 3, 20, 77, 9)
        let x = noise(rows * stride, seed: 3)
        let weight = noise(size, seed: 4)
        var out = x
        var span = out.mutableSpan
        rmsNorm(
            &span, offset: offset, stride: stride, rows: rows, groups: heads, weight: weight.span,
            epsilon: 1e-6,
            on: isa)
        var want = x.map(Double.init)
        for r in 0..<rows {
            for h in 0..<heads {
                let start = r * stride + offset + h * size
                want.replaceSubrange(
                    start..<start + size, with: Self.rms(x[start..<start + size], weight, 1e-6))
            }
        }
        #expect(farthest(out, want) < 2e-6)
    }

    @Test("rows shared among threads are the same bits")
    func threads() {
        let x = noise(333 * 200, seed: 5)
        let weight = noise(200, seed: 6)
        var alone = x
        var shared = x
        var span = alone.mutableSpan
        rmsNorm(&span, rows: 333, weight: weight.span, epsilon: 1e-5)
        span = shared.mutableSpan
        rmsNorm(&span, rows: 333, weight: weight.span, epsilon: 1e-5, pool: ThreadPool(threads: 3))
        #expect(alone == shared)
    }

    @Test(
        "layerNorm agrees with double precision, far from 0 too", arguments: InstructionSet.available, widths)
    func layerNormMatches(isa: InstructionSet, channels: Int) {
        let x = noise(2 * channels, seed: 7).map { $0 + 10 }
        let (weight, bias) = (noise(channels, seed: 8), noise(channels, seed: 9))
        for withBias in [true, false] {
            var out = [Float](repeating: .nan, count: x.count)
            var span = out.mutableSpan
            layerNorm(
                x.span, weight: weight.span, bias: withBias ? bias.span : nil, epsilon: 1e-2, into: &span,
                on: isa)
            let want = (0..<2).flatMap { row -> [Double] in
                let x = x[row * channels..<(row + 1) * channels].map(Double.init)
                let mean = x.reduce(0, +) / Double(channels)
                let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(channels)
                return (0..<channels).map { c in
                    (x[c] - mean) / (variance + 1e-2).squareRoot() * Double(weight[c])
                        + (withBias ? Double(bias[c]) : 0)
                }
            }
            // The mean of numbers near 10 is rounded at 1e-6, over a deviation of at least 0.1.
            #expect(farthest(out, want) < 2e-5)
        }
    }

    @Test("a wrong shape stops the process")
    func wrongShapes() async {
        await #expect(processExitsWith: .failure) {
            var x: [Float] = [1, 2, 3]
            var span = x.mutableSpan
            rmsNorm(&span, rows: 2, weight: ([1, 1] as [Float]).span, epsilon: 0)
        }
        await #expect(processExitsWith: .failure) {
            let x: [Float] = [1, 2, 3, 4]
            var out = x
            var span = out.mutableSpan
            let weight: [Float] = [1, 1], bias: [Float] = [1]
            layerNorm(x.span, weight: weight.span, bias: bias.span, epsilon: 0, into: &span)
        }
    }
}

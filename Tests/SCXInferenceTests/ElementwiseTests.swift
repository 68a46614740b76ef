import SCXInference
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `count` numbers in −2 ..< 2, the same for the same seed.
func noise(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-30
    }
}

/// The largest distance between two results; infinite when one holds NaN or the counts differ.
func farthest(_ got: [Float], _ want: [Double]) -> Double {
    guard got.count == want.count else { return .infinity }
    return zip(got, want).reduce(0) { worst, pair in
        let distance = abs(Double(pair.0) - pair.1)
        return distance.isNaN ? .infinity : max(worst, distance)
    }
}

/// e^x in double precision.
func exponential(_ x: Double) -> Double { exp(x) }

func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }

func complementaryError(_ x: Double) -> Double { erfc(x) }

@Suite("elementwise kernels")
struct ElementwiseTests {
    static let counts = [1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 100, 2_500]

    @Test("exp is within 2 units in the last place", arguments: InstructionSet.available)
    func expError(isa: InstructionSet) {
        let x = (0..<40_000).map { Float($0) * 0.0044 - 86.9 } + [0, -0.0, 1e-20, 88.7, 88.72]
        var out = [Float](repeating: .nan, count: x.count)
        var span = out.mutableSpan
        exp(x.span, into: &span, on: isa)
        let worst = zip(x, out).map { x, y in
            let want = exponential(Double(x))
            return abs(Double(y) - want) / Double(Float(want).ulp)
        }.max()
        #expect(worst ?? .infinity < 2)
    }

    @Test("exp at the ends: 0, infinity, NaN", arguments: InstructionSet.available)
    func expEnds(isa: InstructionSet) {
        let x: [Float] = [-.infinity, -1_000, -88, 89, 1_000, .infinity, .nan]
        var out = x
        var span = out.mutableSpan
        exp(x.span, into: &span, on: isa)
        #expect(out[..<6] == [0, 0, 0, .infinity, .infinity, .infinity] && out[6].isNaN)
    }

    @Test("silu(gate) · up agrees with double precision", arguments: InstructionSet.available, counts)
    func silu(isa: InstructionSet, features: Int) {
        let x = noise(3 * 2 * features, seed: 1).map { $0 * 8 }
        var out = [Float](repeating: .nan, count: 3 * features)
        var span = out.mutableSpan
        activate(x.span, .silu, isGated: true, into: &span, features: features, on: isa)
        let want = (0..<3 * features).map { i -> Double in
            let at = i / features * 2 * features + i % features
            let gate = Double(x[at])
            return gate / (1 + exponential(-gate)) * Double(x[at + features])
        }
        #expect(zip(out, want).allSatisfy { abs(Double($0) - $1) <= abs($1) * 5e-7 + 1e-30 })
    }

    @Test(
        "every activation agrees with double precision, gated and not", arguments: InstructionSet.available,
        [Activation.silu, .gelu, .geluTanh, .quickGelu, .relu])
    func activations(isa: InstructionSet, activation: Activation) {
        func reference(_ x: Double) -> Double {
            switch activation {
            case .silu: x / (1 + exponential(-x))
            case .gelu: x * 0.5 * complementaryError(-x / 2.0.squareRoot())
            case .geluTanh:
                0.5 * x * (1 + hyperbolicTangent((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
            case .quickGelu: x / (1 + exponential(-1.702 * x))
            case .relu: max(x, 0)
            }
        }
        for (isGated, features) in [(true, 5), (false, 5), (true, 48), (false, 131)] {
            let width = isGated ? 2 * features : features
            let x = noise(3 * width, seed: 4).map { $0 * 6 }
            var out = [Float](repeating: .nan, count: 3 * features)
            var span = out.mutableSpan
            activate(x.span, activation, isGated: isGated, into: &span, features: features, on: isa)
            for i in out.indices {
                let at = i / features * width + i % features
                let factor = isGated ? Double(x[at + features]) : 1
                let want = reference(Double(x[at])) * factor
                let bound = abs(want) * 1e-6 + 3e-7 * abs(Double(x[at]) * factor)
                #expect(abs(Double(out[i]) - want) <= bound, "\(x[at])")
            }
        }
    }

    @Test("silu of extreme gates", arguments: InstructionSet.available)
    func siluEnds(isa: InstructionSet) {
        let x: [Float] = [-1_000, 1_000, 0, .nan, 1, 1, 1, 1]
        var out = [Float](repeating: .nan, count: 4)
        var span = out.mutableSpan
        activate(x.span, .silu, isGated: true, into: &span, features: 4, on: isa)
        #expect(out[..<3] == [0, 1_000, 0] && out[3].isNaN)
    }

    @Test("softmax and logSumExp agree with double precision", arguments: InstructionSet.available, counts)
    func softmaxMatches(isa: InstructionSet, count: Int) {
        let x = noise(count, seed: 2).map { $0 * 30 + 500 }
        let top = Double(x.max() ?? 0)
        let sum = x.reduce(0.0) { $0 + exponential(Double($1) - top) }
        #expect(abs(Double(logSumExp(x.span, on: isa)) - (top + log(sum))) < 1e-4)
        var out = x
        var span = out.mutableSpan
        softmax(&span, on: isa)
        #expect(farthest(out, x.map { exponential(Double($0) - top) / sum }) < 5e-7)
    }

    @Test("masked entries get no probability", arguments: InstructionSet.available)
    func softmaxMasked(isa: InstructionSet) {
        var x: [Float] = [-.infinity, 0, -.infinity, 0, -.infinity]
        var span = x.mutableSpan
        softmax(&span, on: isa)
        #expect(x == [0, 0.5, 0, 0.5, 0])
    }

    @Test("add adds", arguments: InstructionSet.available, counts)
    func addMatches(isa: InstructionSet, count: Int) {
        let (x, y) = (noise(count, seed: 3), noise(count, seed: 4))
        var out = x
        var span = out.mutableSpan
        add(y.span, into: &span, on: isa)
        #expect(out == zip(x, y).map { $0 + $1 })
    }

    @Test("topK is the head of a stable sort", arguments: InstructionSet.available, counts)
    func topKMatches(isa: InstructionSet, count: Int) {
        for coarse in [false, true] {
            // Coarse numbers make many ties.
            let x = noise(count, seed: 5).map { coarse ? ($0 * 3).rounded() : $0 }
            let want = x.indices.sorted { x[$0] > x[$1] || (x[$0] == x[$1] && $0 < $1) }
            for k in [0, 1, 2, 5, 40, 3_000] {
                let got = topK(x.span, k, on: isa)
                #expect(got.map(\.index) == Array(want.prefix(k)))
                #expect(got.map(\.value) == want.prefix(k).map { x[$0] })
            }
            #expect(argmax(x.span, on: isa) == want.first)
        }
    }

    @Test("NaN never ranks, wherever it stands", arguments: InstructionSet.available)
    func topKNaN(isa: InstructionSet) {
        for nans in [[0], [1], [0, 1, 2, 3], [65, 66, 72, 80, 97], Array(60..<100)] {
            var x = noise(130, seed: 6)
            for i in nans { x[i] = .nan }
            let want = x.indices.filter { !x[$0].isNaN }.sorted { x[$0] > x[$1] }
            #expect(topK(x.span, 7, on: isa).map(\.index) == Array(want.prefix(7)))
            // A best number beside a NaN, in every lane.
            for i in x.indices where !x[i].isNaN {
                var y = x
                y[i] = 9
                #expect(argmax(y.span, on: isa) == i)
            }
        }
        let none = [Float](repeating: .nan, count: 50)
        #expect(topK(none.span, 3, on: isa).isEmpty && argmax(none.span, on: isa) == nil)
        #expect(argmax([Float]().span, on: isa) == nil)
        let masked: [Float] = [-.infinity, .nan, -.infinity]
        #expect(topK(masked.span, 3, on: isa).map(\.index) == [0, 2])
    }

    @Test("rows shared among threads are the same bits")
    func threads() {
        let x = noise(100 * 2 * 300, seed: 7)
        var alone = [Float](repeating: 0, count: 100 * 300)
        var shared = alone
        var span = alone.mutableSpan
        activate(x.span, .silu, isGated: true, into: &span, features: 300)
        span = shared.mutableSpan
        activate(x.span, .silu, isGated: true, into: &span, features: 300, pool: ThreadPool(threads: 2))
        #expect(alone == shared)
    }

    @Test("a wrong shape stops the process")
    func wrongShapes() async {
        await #expect(processExitsWith: .failure) {
            var out: [Float] = [0, 0]
            var span = out.mutableSpan
            activate(([1, 2, 3] as [Float]).span, .silu, isGated: true, into: &span, features: 2)
        }
        await #expect(processExitsWith: .failure) {
            var x: [Float] = [0, 0]
            var span = x.mutableSpan
            add(([1, 2, 3] as [Float]).span, into: &span)
        }
        await #expect(processExitsWith: .failure) { _ = logSumExp([Float]().span) }
    }
}

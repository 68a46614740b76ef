import SCXInference
import Testing

@Suite("rotary embedding")
struct RotaryEmbeddingTests {
    @Test("frequencies are those of transformers to one unit in the last place", arguments: RopeVector.all)
    func frequencies(vector: RopeVector) {
        let got = RotaryEmbedding(vector.parameters)
            .inverseFrequencies(length: (vector.positions.max() ?? 0) + 1)
        let want = vector.inverseFrequencies.map(Float.init(bitPattern:))
        #expect(got.count == want.count)
        for (i, (got, want)) in zip(got, want).enumerated() {
            #expect(abs(got - want) <= want.ulp, "pair \(i)")
        }
    }

    @Test("cosines and sines are those of transformers", arguments: RopeVector.all)
    func table(vector: RopeVector) {
        let table = RotaryTable(RotaryEmbedding(vector.parameters), positions: vector.positions)
        let half = vector.parameters.rotaryDimension / 2
        #expect(table.tokens == vector.positions.count)
        for (got, want) in [(table.cosines, vector.cosines), (table.sines, vector.sines)] {
            #expect(got.count == want.count)
            for (i, (got, want)) in zip(got, want).enumerated() {
                // A frequency that differs in its last place turns the angle by that much.
                let angle =
                    Float(vector.positions[i / half]) * Float(bitPattern: vector.inverseFrequencies[i % half])
                #expect(abs(got - Float(bitPattern: want)) <= 1.2e-7 + angle.ulp, "entry \(i)")
            }
        }
    }

    @Test("sequences of one pass keep their own lengths")
    func severalSequences() {
        let rope = RotaryEmbedding(
            .init(rotaryDimension: 8, scaling: .dynamic(factor: 2, originalLength: 10)))
        var both = RotaryTable(rope, positions: 0..<5)
        both.append(positions: 20..<22)
        let (short, long) = (RotaryTable(rope, positions: 0..<5), RotaryTable(rope, positions: 20..<22))
        #expect(both.tokens == 7)
        #expect(both.cosines == short.cosines + long.cosines && both.sines == short.sines + long.sines)
    }

    @Test(
        "rotates the first channels of the right heads, and nothing else",
        arguments: InstructionSet.available, [2, 8, 16, 20, 64])
    func rotate(isa: InstructionSet, dimension: Int) {
        let (rows, heads, size, stride, offset) = (3, 2, 64, 200, 30)
        let table = RotaryTable(RotaryEmbedding(.init(rotaryDimension: dimension)), positions: 40..<43)
        let x = noise(rows * stride, seed: 1)
        var want = x.map(Double.init)
        let half = dimension / 2
        for r in 0..<rows {
            for h in 0..<heads {
                for i in 0..<half {
                    let a = r * stride + offset + h * size + i
                    let (cosine, sine) = (
                        Double(table.cosines[r * half + i]), Double(table.sines[r * half + i])
                    )
                    want[a] = Double(x[a]) * cosine - Double(x[a + half]) * sine
                    want[a + half] = Double(x[a + half]) * cosine + Double(x[a]) * sine
                }
            }
        }
        for pool in [nil, ThreadPool(threads: 2)] {
            var got = x
            var span = got.mutableSpan
            table.rotate(
                &span, offset: offset, stride: stride, heads: heads, headSize: size, pool: pool, on: isa)
            #expect(farthest(got, want) < 1e-6)
        }
    }

    @Test("a wrong shape stops the process")
    func wrongShapes() async {
        await #expect(processExitsWith: .failure) { _ = RotaryEmbedding(.init(rotaryDimension: 7)) }
        await #expect(processExitsWith: .failure) {
            let table = RotaryTable(RotaryEmbedding(.init(rotaryDimension: 8)), positions: 0..<2)
            var x = [Float](repeating: 0, count: 15)
            var span = x.mutableSpan
            table.rotate(&span, offset: 0, stride: 8, heads: 1, headSize: 8)
        }
    }
}

import SCXInference
import Testing

@Suite("decoder in pieces")
struct DecoderTests {
    static let pool = ThreadPool(threads: 2)

    private static func checkpoint(_ name: String) throws -> Checkpoint {
        try Checkpoint(directory: "\(ParityCase.folder)/\(name)")
    }

    @Test("a part gives what the whole model gives", arguments: [WeightFormat.f32, .bf16, .int8])
    func parts(_ format: WeightFormat) throws {
        let checkpoint = try Self.checkpoint("qwen3-biases")
        let whole = try Decoder(checkpoint, format: format, pool: Self.pool)
        var fractions: [Double] = []
        let parts = DecoderParts(queryKeyValue: [1], output: [0], feedForward: [1], head: true)
        let some = try Decoder(checkpoint, format: format, pool: Self.pool, parts: parts) {
            fractions.append($0)
        }
        #expect(fractions.last == 1 && fractions == fractions.sorted())
        #expect(some.byteCount < whole.byteCount)
        var numbers = Numbers(seed: 1)
        for site in [
            DecoderSite.queryKeyValue(block: 1), .output(block: 0), .gateUp(block: 1), .down(block: 1), .head,
        ] {
            let x = numbers.next(3 * whole.inputs(of: site))
            let y = some.product(x.span, site)
            #expect(y == whole.product(x.span, site) && y.count == 3 * whole.outputs(of: site))
        }
        var work = Workspace()
        let hidden = numbers.next(2 * whole.configuration.hiddenSize)
        #expect(
            some.logits(hidden.span, workspace: &work) == whole.logits(hidden.span, workspace: &work))
    }

    @Test("nothing but norms, shapes and caches is there without products")
    func nothing() throws {
        let checkpoint = try Self.checkpoint("qwen3")
        for format in [WeightFormat.f32, .bf16] {
            let whole = try Decoder(checkpoint, format: format, pool: Self.pool)
            let none = try Decoder(checkpoint, format: format, pool: Self.pool, parts: DecoderParts())
            #expect(none.byteCount == 0)
            #expect(none.inputs(of: .down(block: 0)) == whole.inputs(of: .down(block: 0)))
            var numbers = Numbers(seed: 2)
            let keys = numbers.next(2 * 8 * whole.configuration.keyValueHeadCount)
            #expect(none.roundedAsCached(keys[...]) == whole.roundedAsCached(keys[...]))
        }
    }

    @Test("a product that was not loaded stops the process")
    func missing() async {
        await #expect(processExitsWith: .failure) {
            let parts = DecoderParts(output: [0])
            let model = try Decoder(
                Checkpoint(directory: "\(ParityCase.folder)/qwen3"), format: .f32,
                pool: ThreadPool(threads: 1), parts: parts)
            let x = [Float](repeating: 0, count: model.inputs(of: .output(block: 1)))
            _ = model.product(x.span, .output(block: 1))
        }
    }

    @Test(
        "norm, product and rotation are those of the forward pass",
        arguments: ["qwen3", "llama-biases", "rope-llama3", "rope-dynamic-growing"])
    func pieces(_ name: String) throws {
        let checkpoint = try Self.checkpoint(name)
        let model = try Decoder(checkpoint, format: .f32, pool: Self.pool)
        var work = Workspace()
        var numbers = Numbers(seed: 3)
        let hidden = numbers.next(model.configuration.hiddenSize)
        let expected = model.queryKeyValue(hidden.span, block: 1, position: 41, workspace: &work)
        var normed = [Float](repeating: .nan, count: hidden.count)
        var out = normed.mutableSpan
        model.attentionNorm(hidden.span, block: 1, into: &out)
        var rows = model.product(normed.span, .queryKeyValue(block: 1))
        var span = rows.mutableSpan
        let heads = model.configuration.headCount
        model.rotate(&span, block: 1, queryHeads: heads, table: model.rotaryTable(positions: 41..<42))
        #expect(rows == expected)
    }

    @Test(
        "exact products are those of nearly the same weights, to which the bias is added after them",
        arguments: [WeightFormat.f32, .bf16, .int8, .int4])
    func exact(_ format: WeightFormat) throws {
        let model = try Decoder(Self.checkpoint("llama-biases"), format: format, pool: Self.pool)
        var numbers = Numbers(seed: 4)
        for site in [DecoderSite.queryKeyValue(block: 0), .output(block: 1), .head] {
            let weights = try model.exactWeights(of: site)
            #expect(weights.format == .f32)
            // The bias is what a row of zeros gives.
            let bias = model.product([Float](repeating: 0, count: weights.columns).span, site)
            // Far from what signed bytes could hold.
            let x = numbers.next(2 * weights.columns).map { 50 * $0 }
            var y = model.exactProduct(x.span, weights).map { Float($0) }
            var span = y.mutableSpan
            model.addBias(of: site, to: &span)
            let rounded = Self.values(weights)
            for (i, value) in y.enumerated() {
                let (token, row) = (i / weights.rows, i % weights.rows)
                var sum = Double(bias[row])
                var size = abs(sum)
                for c in 0..<weights.columns {
                    let term =
                        Double(x[token * weights.columns + c])
                        * Double(rounded[row * weights.columns + c])
                    sum += term
                    size += abs(term)
                }
                #expect(abs(Double(value) - sum) <= 2e-6 * size)
            }
        }
    }

    private static func values(_ weights: PackedMatrix) -> [Float] {
        var values: [Float] = []
        var row = [Float](repeating: 0, count: weights.columns)
        for r in 0..<weights.rows {
            var span = row.mutableSpan
            weights.dequantize(row: r, into: &span)
            values += row
        }
        return values
    }
}

import Foundation
import SCXInference
import Testing

@Suite("experts")
struct ExpertTests {
    static let pool = ThreadPool(threads: 2)

    /// Small numbers that are always the same.
    static func integers(_ count: Int, seed: UInt64) -> [Int] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 56) - 128
        }
    }

    static func configuration(_ text: String) throws -> DecoderConfiguration {
        try DecoderConfiguration(json: JSON(parsing: text), path: "config.json")
    }

    @Test(
        "several matrices multiply channels of their own, as in 64 bits",
        arguments: [(1, 24, 9), (3, 16, 32), (5, 33, 17), (8, 40, 16)], [1, 2, 7])
    func groups(_ shape: (groups: Int, rows: Int, columns: Int), tokens: Int) throws {
        let (groups, rows, columns) = shape
        let stride = (rows + 15) / 16 * 16
        let whole = try PackedMatrix(rows: groups * stride, columns: columns, format: .int8)
        var weights: [[Int]] = []
        var matrices: [PackedMatrix] = []
        for group in 0..<groups {
            var own = Self.integers(rows * columns, seed: UInt64(group + 1)).map { min(127, max(-127, $0)) }
            // With 127 in each row the scale is 1, so the integers are the weights.
            for row in 0..<rows { own[row * columns] = 127 }
            let matrix = whole.matrix(ofRows: group * stride..<group * stride + rows)
            let values = own.map(Float.init)
            unsafe matrix.pack(values.span.bytes, as: .f32, firstRow: 0, count: rows, pool: Self.pool)
            #expect(matrix.rowScales == [Float](repeating: 1, count: rows))
            weights.append(own)
            matrices.append(matrix)
        }
        let z = Self.integers(tokens * groups * columns, seed: 99).map {
            UInt32(truncatingIfNeeded: $0 &* 40_503_001)
        }
        var y = [UInt32](repeating: 7, count: tokens * groups * rows)
        var out = y.mutableSpan
        ringLinear(z.span, matrices, into: &out, tokens: tokens, pool: Self.pool)
        for t in 0..<tokens {
            for g in 0..<groups {
                for r in 0..<rows {
                    var sum: Int64 = 0
                    for c in 0..<columns {
                        sum &+= Int64(z[(t * groups + g) * columns + c]) &* Int64(weights[g][r * columns + c])
                    }
                    #expect(
                        y[(t * groups + g) * rows + r] == UInt32(truncatingIfNeeded: sum), "\(t) \(g) \(r)")
                }
            }
        }
    }

    @Test(
        "the router chooses what double precision chooses, with the weights that the model says",
        arguments: [
            "mixtral", "qwen2-moe", "qwen3-moe-options",
        ])
    func routes(name: String) throws {
        let checkpoint = try Checkpoint(directory: "\(ParityCase.folder)/\(name)")
        let c = checkpoint.configuration
        let experts = try #require(c.experts)
        let model = try Decoder(checkpoint, format: .f32, pool: Self.pool, parts: DecoderParts())
        let block = try #require(experts.blocks.firstIndex(of: true))
        let router = try #require(try checkpoint.values(of: .router, block: block))
        let rows = 9
        let x = Self.integers(rows * c.hiddenSize, seed: 5).map { Float($0) / 64 }
        let routes = model.routes(x.span, block: block)
        #expect(routes.rows == rows && routes.perRow == experts.perToken && routes.experts == experts.count)
        for row in 0..<rows {
            let scores = (0..<experts.count).map { e in
                (0..<c.hiddenSize).reduce(0.0) {
                    $0 + Double(x[row * c.hiddenSize + $1]) * Double(router[e * c.hiddenSize + $1])
                }
            }
            let largest = scores.max() ?? 0
            let terms = scores.map { exp($0 - largest) }
            let all = terms.reduce(0, +)
            let order = scores.indices.sorted { scores[$0] > scores[$1] }.prefix(experts.perToken)
            let sum = experts.isNormalized ? order.reduce(0) { $0 + terms[$1] / all } : 1
            for (i, e) in order.enumerated() {
                let place = row * experts.perToken + i
                #expect(Int(routes.chosen[place]) == e)
                #expect(abs(Double(routes.weights[place]) - terms[e] / all / sum) < 1e-5)
            }
            guard experts.sharedHasGate else { continue }
            let gate = try #require(try checkpoint.values(of: .sharedScore, block: block))
            let score = (0..<c.hiddenSize).reduce(0.0) {
                $0 + Double(x[row * c.hiddenSize + $1]) * Double(gate[$1])
            }
            #expect(abs(Double(routes.sharedFactors[row]) - 1 / (1 + exp(-score))) < 1e-6)
        }
        #expect(routes.sharedFactors.isEmpty == !experts.sharedHasGate)
        // A row's choice does not depend on how many others there are.
        let alone = model.routes(x.span.extracting(0..<c.hiddenSize), block: block)
        #expect(alone.weights.map(\.bitPattern) == routes.weights.prefix(experts.perToken).map(\.bitPattern))
    }

    @Test("a row that is not finite takes as many experts as others")
    func notFinite() throws {
        let checkpoint = try Checkpoint(directory: "\(ParityCase.folder)/mixtral")
        let model = try Decoder(checkpoint, format: .f32, pool: Self.pool, parts: DecoderParts())
        let x = [Float](repeating: .nan, count: checkpoint.configuration.hiddenSize)
        let routes = model.routes(x.span, block: 0)
        #expect(routes.chosen == [0, 1] && routes.weights.allSatisfy(\.isNaN))
    }

    @Test("the sites of blocks with and without experts, in their order")
    func sites() throws {
        let c = try Self.configuration(
            #"{"model_type": "qwen2_moe", "num_hidden_layers": 2, "decoder_sparse_step": 2}"#)
        #expect(
            c.sites == [
                .queryKeyValue(block: 0), .output(block: 0), .gateUp(block: 0), .down(block: 0),
                .queryKeyValue(block: 1), .output(block: 1), .expertGateUp(block: 1), .gateUp(block: 1),
                .expertDown(block: 1), .down(block: 1), .head,
            ])
        #expect(c.inputs(of: .expertGateUp(block: 1)) == 60 * 2_048)
        #expect(c.outputs(of: .expertGateUp(block: 1)) == 60 * 2 * 1_408)
        #expect(c.inputs(of: .down(block: 0)) == 5_632 && c.outputs(of: .gateUp(block: 1)) == 2 * 5_632)
        #expect(!c.has(.expertDown(block: 0)) && c.outputs(of: .expertDown(block: 0)) == 0)
        let mixtral = try Self.configuration(#"{"model_type": "mixtral", "num_hidden_layers": 1}"#)
        #expect(!mixtral.has(.gateUp(block: 0)) && mixtral.sites.count == 5)
        #expect(
            mixtral.parameterCount == 2 * 32_000 * 4_096 + 3 * 4_096 + 4_096 * (2 * 4_096 + 2 * 1_024) + 8
                * 4_096 + 24 * 4_096 * 14_336)
    }

    @Test(
        "a configuration that asks for too much, or for what is not there, is refused in one line",
        arguments: [
            (#"{"model_type": "mixtral", "num_local_experts": 4096}"#, "num_local_experts"),
            (#"{"model_type": "mixtral", "num_experts_per_tok": 9}"#, "there are 8 experts"),
            (#"{"model_type": "qwen3_moe", "num_experts": 1024, "num_hidden_layers": 1024}"#, "num_experts"),
            (#"{"model_type": "qwen3_moe", "num_experts": 0}"#, "num_experts"),
            (#"{"model_type": "qwen3_moe", "mlp_only_layers": [77]}"#, "mlp_only_layers"),
            (#"{"model_type": "qwen3_moe", "mlp_only_layers": "all"}"#, "mlp_only_layers"),
            (#"{"model_type": "qwen2_moe", "n_group": 4}"#, "n_group"),
        ])
    func refusals(_ text: String, expected: String) {
        let error = #expect(throws: CheckpointError.self) { try Self.configuration(text) }
        let line = error.map { "\($0)" } ?? ""
        #expect(line.hasPrefix("config.json: ") && line.contains(expected) && !line.contains("\n"), "\(line)")
    }
}

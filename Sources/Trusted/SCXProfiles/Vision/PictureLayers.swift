import Foundation
import SCXInference

/// A product with a matrix and a bias, in float32.
struct DenseRows: Sendable {
    private let weights: PackedMatrix
    /// `[outputs]`, or empty.
    private let bias: [Float]

    var outputs: Int { weights.rows }

    /// Packs a matrix.
    ///
    /// - Parameters:
    ///   - values: `[outputs, inputs]`, row-major.
    ///   - bias: `[outputs]`, or empty.
    ///   - inputs: How many there are.
    ///   - pool: Threads that pack.
    /// - Throws: ``KernelError`` when there is no memory for it.
    init(_ values: [Float], bias: [Float], inputs: Int, pool: ThreadPool) throws(KernelError) {
        weights = try PackedMatrix(rows: values.count / inputs, columns: inputs, format: .f32)
        unsafe weights.pack(values.span.bytes, as: .f32, firstRow: 0, count: weights.rows, pool: pool)
        self.bias = bias
    }

    /// Multiplies rows.
    ///
    /// - Parameters:
    ///   - rows: `[rows, inputs]`, row-major.
    ///   - out: Receives `[rows, outputs]`.
    ///   - pool: Threads that share the work.
    func apply(_ rows: Span<Float>, into out: inout MutableSpan<Float>, pool: ThreadPool) {
        linear(rows, weights, bias: bias.span, into: &out, tokens: rows.count / weights.columns, pool: pool)
    }

    /// Multiplies rows.
    ///
    /// - Returns: `[rows, outputs]`, row-major.
    func apply(_ rows: Span<Float>, pool: ThreadPool) -> [Float] {
        rowsOf(rows.count / weights.columns * outputs) { apply(rows, into: &$0, pool: pool) }
    }
}

/// A LayerNorm with its weights.
struct NormRows: Sendable {
    let weight: [Float]
    let bias: [Float]
    let epsilon: Float

    /// Norms each row of `rows`, `[rows, channels]`, into `out`.
    func apply(_ rows: Span<Float>, into out: inout MutableSpan<Float>, pool: ThreadPool) {
        layerNorm(rows, weight: weight.span, bias: bias.span, epsilon: epsilon, into: &out, pool: pool)
    }
}

/// Reads the tensors of layers that the trusted side computes.
struct TensorReader {
    let checkpoint: Checkpoint
    let pool: ThreadPool

    /// The numbers of a tensor, row-major.
    func values(_ plan: TensorPlan) throws(CheckpointError) -> [Float] {
        try checkpoint.tensor(plan.name, shape: plan.shape).values()
    }

    /// A product, from its weights and perhaps its bias.
    func dense(_ plans: [TensorPlan], inputs: Int) throws -> DenseRows {
        let bias = plans.count > 1 ? try values(plans[1]) : []
        return try product(plans[0].name, values(plans[0]), bias, inputs)
    }

    /// A product without bias, whose matrix is stored `[inputs, outputs]`.
    func turned(_ plan: TensorPlan) throws -> DenseRows {
        let (stored, inputs, outputs) = (try values(plan), plan.shape[0], plan.shape[1])
        var turned = [Float](repeating: 0, count: stored.count)
        for i in 0..<inputs { for o in 0..<outputs { turned[o * inputs + i] = stored[i * outputs + o] } }
        return try product(plan.name, turned, [], inputs)
    }

    /// A norm, from its weight and bias; nil for none.
    func norm(_ plans: [TensorPlan], _ epsilon: Float) throws(CheckpointError) -> NormRows? {
        guard plans.count == 2 else { return nil }
        return NormRows(weight: try values(plans[0]), bias: try values(plans[1]), epsilon: epsilon)
    }

    private func product(
        _ name: String, _ values: [Float], _ bias: [Float], _ inputs: Int
    ) throws(LoadError) -> DenseRows {
        do throws(KernelError) { return try DenseRows(values, bias: bias, inputs: inputs, pool: pool) } catch
        {
            throw .kernel(path: checkpoint.directory, tensor: name, error)
        }
    }
}

/// SigLIP's pooling: attention of one learned query over all rows, then a norm and a feed-forward network.
///
/// <https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/siglip/modeling_siglip.py>,
/// `SiglipMultiheadAttentionPoolingHead`.
struct AttentionPooling: Sendable {
    /// The query of each head, already multiplied by its matrix and the scores' scale: `[heads · headSize]`.
    private let query: [Float]
    private let keysValues: DenseRows
    private let output: DenseRows
    private let norm: NormRows?
    private let up: DenseRows
    private let activation: Activation
    private let down: DenseRows
    private let heads: Int

    /// Reads the tensors; nil when rows are pooled in another way.
    init?(_ tower: VisionTower, _ reader: TensorReader) throws {
        let plans = tower.poolingPlans
        guard plans.count == 11 else { return nil }
        let encoder = tower.encoder
        let (width, wide) = (encoder.hiddenSize, encoder.feedForwardSize)
        (heads, activation) = (encoder.headCount, encoder.activation)
        let (probe, weight, bias) = (
            try reader.values(plans[0]), try reader.values(plans[1]), try reader.values(plans[2])
        )
        let scale = 1 / Float(width / encoder.headCount).squareRoot()
        let first = try DenseRows(
            Array(weight[..<(width * width)]), bias: Array(bias[..<width]), inputs: width, pool: reader.pool)
        query = first.apply(probe.span, pool: reader.pool).map { $0 * scale }
        keysValues = try DenseRows(
            Array(weight[(width * width)...]), bias: Array(bias[width...]), inputs: width, pool: reader.pool)
        output = try reader.dense(Array(plans[3...4]), inputs: width)
        norm = try reader.norm(Array(plans[5...6]), encoder.normEpsilon)
        up = try reader.dense(Array(plans[7...8]), inputs: width)
        down = try reader.dense(Array(plans[9...10]), inputs: wide)
    }

    /// Pools a picture's rows.
    ///
    /// - Parameters:
    ///   - hidden: `[rows, channels]`, row-major.
    ///   - pool: Threads that share the work.
    /// - Returns: `[channels]`
    func pool(_ hidden: [Float], _ pool: ThreadPool) -> [Float] {
        let (width, size) = (query.count, query.count / heads)
        let rows = hidden.count / width
        let projected = keysValues.apply(hidden.span, pool: pool)
        var attended = [Float](repeating: 0, count: width)
        for head in 0..<heads {
            let own = head * size..<(head + 1) * size
            var scores = (0..<rows).map { row in
                own.reduce(0.0) { $0 + Double(query[$1]) * Double(projected[row * 2 * width + $1]) }
            }
            let largest = scores.max() ?? 0
            scores = scores.map { exp($0 - largest) }
            let total = scores.reduce(0, +)
            for c in own {
                var sum = 0.0
                for row in 0..<rows { sum += scores[row] * Double(projected[row * 2 * width + width + c]) }
                attended[c] = Float(sum / total)
            }
        }
        let residual = output.apply(attended.span, pool: pool)
        let normed = rowsOf(width) { norm?.apply(residual.span, into: &$0, pool: pool) }
        let wide = up.apply(normed.span, pool: pool)
        let activated = rowsOf(wide.count) {
            activate(wide.span, activation, isGated: false, into: &$0, features: wide.count, pool: pool)
        }
        return zip(residual, down.apply(activated.span, pool: pool)).map { $0 + $1 }
    }
}

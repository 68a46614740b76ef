/// The tensors of one block, by the names that checkpoints of all four families use.
///
/// Matrices are stored `[outputs, inputs]`, row-major.
public enum BlockTensor: String, CaseIterable, Sendable {
    case attentionNorm = "input_layernorm.weight"
    case query = "self_attn.q_proj.weight"
    case queryBias = "self_attn.q_proj.bias"
    case key = "self_attn.k_proj.weight"
    case keyBias = "self_attn.k_proj.bias"
    case value = "self_attn.v_proj.weight"
    case valueBias = "self_attn.v_proj.bias"
    case queryNorm = "self_attn.q_norm.weight"
    case keyNorm = "self_attn.k_norm.weight"
    case output = "self_attn.o_proj.weight"
    case outputBias = "self_attn.o_proj.bias"
    case feedForwardNorm = "post_attention_layernorm.weight"
    case gate = "mlp.gate_proj.weight"
    case gateBias = "mlp.gate_proj.bias"
    case up = "mlp.up_proj.weight"
    case upBias = "mlp.up_proj.bias"
    case down = "mlp.down_proj.weight"
    case downBias = "mlp.down_proj.bias"

    /// The tensor's name in a checkpoint.
    public func name(block: Int) -> String { "model.layers.\(block).\(rawValue)" }
}

/// A tensor that a model needs.
public struct TensorPlan: Equatable, Sendable {
    public let name: String
    public let shape: [Int]
}

extension DecoderConfiguration {
    public static let embeddingName = "model.embed_tokens.weight"
    public static let finalNormName = "model.norm.weight"
    public static let headName = "lm_head.weight"

    /// The name of the output head's matrix, `[vocabularySize, hiddenSize]`.
    public var outputHeadName: String { tiedEmbeddings ? Self.embeddingName : Self.headName }

    /// The shape of a block's tensor; nil when this model has no such tensor.
    public func shape(of tensor: BlockTensor) -> [Int]? {
        let queries = headCount * headSize
        let keys = keyValueHeadCount * headSize
        return switch tensor {
        case .attentionNorm, .feedForwardNorm: [hiddenSize]
        case .query: [queries, hiddenSize]
        case .key, .value: [keys, hiddenSize]
        case .queryBias: queryKeyValueBias ? [queries] : nil
        case .keyBias, .valueBias: queryKeyValueBias ? [keys] : nil
        case .queryNorm, .keyNorm: queryKeyNorm ? [headSize] : nil
        case .output: [hiddenSize, queries]
        case .outputBias: outputBias ? [hiddenSize] : nil
        case .gate, .up: [feedForwardSize, hiddenSize]
        case .gateBias, .upBias: feedForwardBias ? [feedForwardSize] : nil
        case .down: [hiddenSize, feedForwardSize]
        case .downBias: feedForwardBias ? [hiddenSize] : nil
        }
    }

    /// Every tensor of the model, in the order of the forward pass.
    public func expectedTensors() -> [TensorPlan] {
        var plan = [TensorPlan(name: Self.embeddingName, shape: [vocabularySize, hiddenSize])]
        for block in 0..<blockCount {
            for tensor in BlockTensor.allCases {
                if let shape = shape(of: tensor) {
                    plan.append(TensorPlan(name: tensor.name(block: block), shape: shape))
                }
            }
        }
        plan.append(TensorPlan(name: Self.finalNormName, shape: [hiddenSize]))
        if !tiedEmbeddings {
            plan.append(TensorPlan(name: Self.headName, shape: [vocabularySize, hiddenSize]))
        }
        return plan
    }

    /// How many numbers the model's tensors have in all.
    public var parameterCount: Int {
        expectedTensors().reduce(0) { $0 + $1.shape.reduce(1, *) }
    }
}

extension DecoderConfiguration {
    /// How many channels the output rows of a site have.
    public func outputs(of site: DecoderSite) -> Int {
        switch site {
        case .queryKeyValue: (headCount + 2 * keyValueHeadCount) * headSize
        case .gateUp: 2 * feedForwardSize
        case .output, .down: hiddenSize
        case .head: vocabularySize
        }
    }
}

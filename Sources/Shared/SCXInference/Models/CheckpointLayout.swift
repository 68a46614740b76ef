/// The names by which a family's checkpoints store a model's tensors, and the order of their elements.
///
/// The default is the layout of Llama. A family gives the names that differ; see `docs/add-a-model.md`.
public struct CheckpointLayout: Equatable, Sendable {
    /// What comes before all names but the head's; a checkpoint of the model without its head may lack it.
    public var prefix = "model."
    /// The embedding table, `[vocabularySize, hiddenSize]`.
    public var embedding = "embed_tokens.weight"
    /// The table of learned positions, `[positionRows, hiddenSize]`.
    public var positions = "embed_positions.weight"
    /// The vectors of token kinds, `[tokenTypeCount, hiddenSize]`.
    public var tokenTypes = "embeddings.token_type_embeddings.weight"
    /// The norm of embedded tokens.
    public var embeddingNorm = "embeddings.LayerNorm.weight"
    public var embeddingNormBias = "embeddings.LayerNorm.bias"
    /// What comes before the number of a block.
    public var blocks = "layers."
    public var finalNorm = "norm.weight"
    public var finalNormBias = "norm.bias"
    /// The output head, `[vocabularySize, hiddenSize]`, where it is not the embedding table; without the prefix.
    public var head = "lm_head.weight"
    /// Names of a block's tensors that differ from Llama's.
    ///
    /// Tensors of the same name are stored as one, one above the other in the order of ``BlockTensor``.
    public var blockTensors: [BlockTensor: String] = [:]
    /// Whether the matrices of blocks are stored `[inputs, outputs]`.
    public var isTransposed = false
    /// What comes before the number of an expert, after the block's number.
    public var experts = "mlp.experts."
    /// Names of an expert's tensors that differ from ``ExpertTensor``'s.
    public var expertTensors: [ExpertTensor: String] = [:]
    /// The gates and ups of all experts of a block where they are stored as one, `[experts, 2 · size, hidden]`.
    public var fusedGateUp = "gate_up_proj"
    /// The downs of all experts of a block where they are stored as one, `[experts, hidden, size]`.
    public var fusedDown = "down_proj"
    /// Whether each matrix of an expert is stored in one tensor with those of all experts of the block, `[experts,
    /// outputs, inputs]`, gates and ups apart.
    public var stacksExperts = false
    /// The name of the matrices that take queries to latents where they are stored apart, `[heads, rank, plainSize]`; nil
    /// where they are in ``BlockTensor/latentUp``.
    public var latentKeys: String?
    /// The name of the matrices that take latents to values where they are stored apart, `[heads, valueSize, rank]`.
    public var latentValues: String?

    /// The name of a block's tensor after the block's number.
    func name(_ tensor: BlockTensor) -> String { blockTensors[tensor] ?? tensor.rawValue }

    /// The name of an expert's tensor after the expert's number.
    func name(_ tensor: ExpertTensor) -> String { expertTensors[tensor] ?? tensor.rawValue }
}

/// The tensors of one block; the raw values are the names that most families use.
///
/// Matrices are `[outputs, inputs]`, row-major.
public enum BlockTensor: String, CaseIterable, Sendable {
    case attentionNorm = "input_layernorm.weight"
    case attentionNormBias = "input_layernorm.bias"
    case query = "self_attn.q_proj.weight"
    case queryBias = "self_attn.q_proj.bias"
    case key = "self_attn.k_proj.weight"
    case keyBias = "self_attn.k_proj.bias"
    case value = "self_attn.v_proj.weight"
    case valueBias = "self_attn.v_proj.bias"
    /// For each head the score of no token.
    case sinks = "self_attn.sinks"
    case queryNorm = "self_attn.q_norm.weight"
    case keyNorm = "self_attn.k_norm.weight"
    /// The reduction of the queries' input, in latent attention.
    case queryDown = "self_attn.q_a_proj.weight"
    case queryDownBias = "self_attn.q_a_proj.bias"
    case queryDownNorm = "self_attn.q_a_layernorm.weight"
    /// The queries of all heads from the reduced input.
    case queryUp = "self_attn.q_b_proj.weight"
    /// The latent, and below it the rotated part of the keys.
    case latentDown = "self_attn.kv_a_proj_with_mqa.weight"
    case latentDownBias = "self_attn.kv_a_proj_with_mqa.bias"
    case latentNorm = "self_attn.kv_a_layernorm.weight"
    /// For each head the rows that give its keys from the latent, then those that give its values.
    case latentUp = "self_attn.kv_b_proj.weight"
    case output = "self_attn.o_proj.weight"
    case outputBias = "self_attn.o_proj.bias"
    /// The norm of what attention adds to the residual stream.
    case attentionResultNorm = "attention_result_norm.weight"
    case attentionResultNormBias = "attention_result_norm.bias"
    case feedForwardNorm = "post_attention_layernorm.weight"
    case feedForwardNormBias = "post_attention_layernorm.bias"
    case gate = "mlp.gate_proj.weight"
    case gateBias = "mlp.gate_proj.bias"
    case up = "mlp.up_proj.weight"
    case upBias = "mlp.up_proj.bias"
    case down = "mlp.down_proj.weight"
    case downBias = "mlp.down_proj.bias"
    /// The router's scores of a block's experts.
    case router = "mlp.gate.weight"
    case routerBias = "mlp.gate.bias"
    /// What is added to the experts' probabilities for their choice alone.
    case choiceBias = "mlp.gate.e_score_correction_bias"
    case sharedGate = "mlp.shared_expert.gate_proj.weight"
    case sharedUp = "mlp.shared_expert.up_proj.weight"
    case sharedDown = "mlp.shared_expert.down_proj.weight"
    /// The score by which the shared expert's result is multiplied.
    case sharedScore = "mlp.shared_expert_gate.weight"
    /// The norm of what the feed-forward network adds to the residual stream.
    case feedForwardResultNorm = "post_feedforward_layernorm.weight"
    case feedForwardResultNormBias = "post_feedforward_layernorm.bias"
}

/// A tensor that a model needs.
public struct TensorPlan: Equatable, Sendable {
    public let name: String
    public let shape: [Int]
}

/// Where a block's tensor is in a checkpoint.
public struct TensorPlace: Equatable, Sendable {
    /// The stored tensor, of which it may be a part.
    public let stored: TensorPlan
    /// Its rows, or the elements of a vector, among those of the stored tensor.
    public var rows: Range<Int>
    /// Whether the stored tensor is `[inputs, outputs]`.
    public var isTransposed: Bool
    /// The inputs of a stored tensor `[inputs, outputs]` that belong to it; nil for all.
    public var inputs: Range<Int>?
}

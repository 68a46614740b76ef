// GPT-2; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gpt2/configuration_gpt2.py
extension DecoderConfiguration {
    /// Norms that subtract the mean, learned positions, no gate, biases everywhere; matrices are stored the other way
    /// round, and queries, keys and values as one.
    static func gpt2(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var reader = reader
        reader.names = [
            "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
            "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
            "hidden_act": "activation_function", "rms_norm_eps": "layer_norm_epsilon",
        ]
        var configuration = try Self(
            .gpt2, reader,
            Defaults(
                vocabularySize: 50_257, hiddenSize: 768, blockCount: 12, headCount: 12, maximumLength: 1_024,
                normEpsilon: 1e-5, activation: .geluTanh, tiedEmbeddings: true, beginOfSequence: 50_256,
                endOfSequence: [50_256]))
        if try reader.flag("scale_attn_weights") == false { configuration.scoreScale = 1 }
        for field in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
            guard try reader.flag(field) != true else { throw reader.unsupported(field, "models without it") }
        }
        configuration.queryKeyValueBias = true
        configuration.outputBias = true
        configuration.feedForwardBias = true
        configuration.norm = .layer(bias: true)
        configuration.isGated = false
        configuration.learnedPositions = true
        configuration.rotations = Array(repeating: .none, count: configuration.blockCount)
        var layout = CheckpointLayout()
        layout.prefix = "transformer."
        layout.embedding = "wte.weight"
        layout.positions = "wpe.weight"
        layout.blocks = "h."
        layout.finalNorm = "ln_f.weight"
        layout.finalNormBias = "ln_f.bias"
        layout.isTransposed = true
        let (weight, bias) = ("attn.c_attn.weight", "attn.c_attn.bias")
        layout.blockTensors = [
            .attentionNorm: "ln_1.weight", .attentionNormBias: "ln_1.bias",
            .query: weight, .key: weight, .value: weight, .queryBias: bias, .keyBias: bias, .valueBias: bias,
            .output: "attn.c_proj.weight", .outputBias: "attn.c_proj.bias",
            .feedForwardNorm: "ln_2.weight", .feedForwardNormBias: "ln_2.bias",
            .up: "mlp.c_fc.weight", .upBias: "mlp.c_fc.bias",
            .down: "mlp.c_proj.weight", .downBias: "mlp.c_proj.bias",
        ]
        configuration.layout = layout
        return configuration
    }
}

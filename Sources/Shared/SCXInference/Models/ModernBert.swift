// ModernBERT; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/modernbert/configuration_modernbert.py
extension DecoderConfiguration {
    /// An encoder of rotated queries and keys, gated by GELU, normed before each part but the first; in two of three
    /// blocks tokens attend only to near ones, by another rotation.
    static func modernbert(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var reader = reader
        reader.names["hidden_act"] = "hidden_activation"
        reader.names["rms_norm_eps"] = "norm_eps"
        reader.ignore([
            "classifier_dropout", "cls_token_id", "decoder_bias", "deterministic_flash_attn",
            "initializer_cutoff_factor", "layer_norm_eps", "position_embedding_type", "reference_compile",
            "repad_logits_with_grad", "sparse_pred_ignore_index", "sparse_prediction",
        ])
        let globalBase = try reader.number("global_rope_theta", minimum: 1.000_1) ?? 160_000
        let localBase = try reader.number("local_rope_theta", minimum: 1.000_1) ?? 10_000
        var configuration = try Self(
            .modernbert, reader,
            Defaults(
                vocabularySize: 50_368, hiddenSize: 768, blockCount: 22, headCount: 12,
                feedForwardSize: 1_152,
                maximumLength: 8_192, normEpsilon: 1e-5, activation: .gelu, tiedEmbeddings: true,
                ropeBase: globalBase, ropeType: "full_attention"))
        configuration.localRope = try RopeParameters(
            reader, headSize: configuration.headSize, maximumLength: configuration.maximumLength,
            base: localBase, of: "sliding_attention")
        let period = try reader.size("global_attn_every_n_layers", limit: 1 << 10) ?? 3
        // The field counts the tokens before and after, and a window the token itself and those on one side.
        let window = (try reader.size("local_attention", limit: 1 << 30) ?? 128) / 2 + 1
        try configuration.setWindows(reader, window) { $0 % period != 0 }
        configuration.rotations = configuration.slidingWindows.map { $0 == nil ? .global : .local }
        try configuration.setAttentionBias(reader)
        configuration.feedForwardBias = try reader.flag("mlp_bias") ?? false
        configuration.norm = .layer(bias: try reader.flag("norm_bias") ?? false)
        configuration.isCausal = false
        configuration.hasHead = false
        configuration.normsEmbedding = true
        configuration.normsFirstInput = false
        var layout = CheckpointLayout()
        layout.embedding = "embeddings.tok_embeddings.weight"
        layout.embeddingNorm = "embeddings.norm.weight"
        layout.embeddingNormBias = "embeddings.norm.bias"
        layout.finalNorm = "final_norm.weight"
        layout.finalNormBias = "final_norm.bias"
        let (attention, attentionBias) = ("attn.Wqkv.weight", "attn.Wqkv.bias")
        let (feedForward, feedForwardBias) = ("mlp.Wi.weight", "mlp.Wi.bias")
        layout.blockTensors = [
            .attentionNorm: "attn_norm.weight", .attentionNormBias: "attn_norm.bias",
            .query: attention, .key: attention, .value: attention,
            .queryBias: attentionBias, .keyBias: attentionBias, .valueBias: attentionBias,
            .output: "attn.Wo.weight", .outputBias: "attn.Wo.bias",
            .feedForwardNorm: "mlp_norm.weight", .feedForwardNormBias: "mlp_norm.bias",
            .gate: feedForward, .up: feedForward, .gateBias: feedForwardBias, .upBias: feedForwardBias,
            .down: "mlp.Wo.weight", .downBias: "mlp.Wo.bias",
        ]
        configuration.layout = layout
        return configuration
    }
}

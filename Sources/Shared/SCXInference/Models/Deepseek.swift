// DeepSeek-V2 and DeepSeek-V3, which R1 is as well; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/deepseek_v2/configuration_deepseek_v2.py
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/deepseek_v3/configuration_deepseek_v3.py
extension DecoderConfiguration {
    /// Latent attention; experts in all blocks but the first, chosen by softmax, beside shared ones.
    static func deepseekV2(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try deepseek(
            .deepseekV2, reader,
            Defaults(
                vocabularySize: 102_400, feedForwardSize: 11_008, maximumLength: 2_048, beginOfSequence: 1,
                endOfSequence: [2]))
        guard try reader.flag("mlp_bias") != true else { throw reader.unsupported("mlp_bias", "none") }
        try reader.expect("scoring_func", ["softmax"])
        // The reference implementation leaves the weights as they are, whatever the field says.
        guard try reader.flag("norm_topk_prob") != true else {
            throw reader.unsupported("norm_topk_prob in \(ModelFamily.deepseekV2.rawValue)", "false")
        }
        var experts = try configuration.deepseekExperts(
            reader, count: 64, perToken: 6, size: 1_407, shared: 2, dense: 0)
        experts.isNormalized = false
        experts.scale = Float(try reader.number("routed_scaling_factor", minimum: 0) ?? 1)
        switch try reader.expect("topk_method", ["greedy", "group_limited_greedy"]) {
        case "group_limited_greedy":
            experts.grouping = try experts.readGrouping(reader, count: nil, perToken: nil, rated: 1)
        default: reader.ignore(["n_group", "topk_group"])
        }
        configuration.experts = experts
        return configuration
    }

    /// As DeepSeek-V2, but experts are chosen by sigmoid with a learned bias.
    static func deepseekV3(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try deepseek(
            .deepseekV3, reader,
            Defaults(
                vocabularySize: 129_280, hiddenSize: 7_168, blockCount: 61, headCount: 128,
                feedForwardSize: 18_432, maximumLength: 4_096, beginOfSequence: 0, endOfSequence: [1]))
        configuration.latent?.isInterleaved = try reader.flag("rope_interleave") ?? true
        try reader.expect("scoring_func", ["sigmoid"])
        try reader.expect("topk_method", ["noaux_tc"])
        var experts = try configuration.deepseekExperts(
            reader, count: 256, perToken: 8, size: 2_048, shared: 1, dense: 3)
        experts.scoring = .sigmoid
        experts.hasChoiceBias = true
        experts.isNormalized = try reader.flag("norm_topk_prob") ?? true
        experts.scale = Float(try reader.number("routed_scaling_factor", minimum: 0) ?? 2.5)
        experts.grouping = try experts.readGrouping(reader, count: 8, perToken: 4, rated: 2)
        configuration.experts = experts
        return configuration
    }

    /// Reads what both have: the latent attention.
    private static func deepseek(
        _ family: ModelFamily, _ reader: ConfigurationReader, _ defaults: Defaults
    ) throws(CheckpointError) -> Self {
        // Further blocks that predict tokens ahead are not loaded; the rest is of training, or repeats other fields.
        reader.ignore([
            "aux_loss_alpha", "ep_size", "num_nextn_predict_layers", "num_mtp_layers", "qk_head_dim",
            "seq_aux",
        ])
        func size(_ field: String, _ absent: Int) throws(CheckpointError) -> Int {
            try reader.size(field, limit: 1 << 14) ?? absent
        }
        let rotated = try size("qk_rope_head_dim", 64)
        var defaults = defaults
        defaults.headSize = rotated
        var configuration = try Self(family, reader, defaults)
        guard configuration.headSize == rotated else {
            throw reader.fault(
                "head_dim", "is \(configuration.headSize), but the heads rotate \(rotated) channels")
        }
        guard configuration.keyValueHeadCount == configuration.headCount else {
            throw reader.fault(
                "num_key_value_heads",
                "is \(configuration.keyValueHeadCount), but there are \(configuration.headCount) heads")
        }
        let absentRank = reader.ifAbsent("q_lora_rank", 1_536)
        let latent = LatentAttention(
            queryRank: try reader.size("q_lora_rank", limit: 1 << 14) ?? absentRank,
            rank: try size("kv_lora_rank", 512), plainSize: try size("qk_nope_head_dim", 128),
            rotatedSize: rotated, valueSize: try size("v_head_dim", 128))
        configuration.latent = latent
        configuration.keyValueHeadCount = 1
        configuration.headSize = latent.rank + rotated
        try configuration.setAttentionBias(reader)
        guard !configuration.queryKeyValueBias || latent.queryRank != nil else {
            throw reader.unsupported("attention_bias without q_lora_rank", "attention_bias with q_lora_rank")
        }
        configuration.scoreScale = latent.scoreScale(configuration.rope.scaling)
        configuration.layout.blockTensors = [
            .sharedGate: "mlp.shared_experts.gate_proj.weight",
            .sharedUp: "mlp.shared_experts.up_proj.weight",
            .sharedDown: "mlp.shared_experts.down_proj.weight",
        ]
        return configuration
    }

    /// Reads which blocks have experts, how many, and how large they are.
    private func deepseekExperts(
        _ reader: ConfigurationReader, count: Int, perToken: Int, size: Int, shared: Int, dense: Int
    ) throws(CheckpointError) -> Experts {
        try reader.expect("moe_layer_freq", 1)
        let first = try reader.blocks("first_k_dense_replace") ?? dense
        let size = try reader.size("moe_intermediate_size", limit: 1 << 20) ?? size
        var experts = try readExperts(
            reader, "n_routed_experts", count: count, perToken: perToken,
            blocks: (0..<blockCount).map { $0 >= first }, size: size)
        experts.sharedSize = size * (try reader.size("n_shared_experts", limit: 1 << 6) ?? shared)
        return experts
    }
}

extension DecoderConfiguration.LatentAttention {
    /// The factor of scores: 1 / √querySize, with YaRN times the square of its factor for all channels.
    fileprivate func scoreScale(_ scaling: RopeScaling) -> Float {
        let scale = 1 / Double(querySize).squareRoot()
        guard case .yarn(let yarn) = scaling, let all = yarn.mscaleAllDimensions else { return Float(scale) }
        let factor = yarn.magnitude(all)
        return Float(scale * factor * factor)
    }
}

extension DecoderConfiguration.Experts {
    /// Reads `n_group` and `topk_group`.
    fileprivate func readGrouping(
        _ reader: ConfigurationReader, count: Int?, perToken: Int?, rated: Int
    ) throws(CheckpointError) -> Grouping? {
        guard let groups = try reader.size("n_group", limit: self.count) ?? reader.ifAbsent("n_group", count),
            let chosen = try reader.size("topk_group", limit: groups)
                ?? reader.ifAbsent("topk_group", perToken)
        else { throw reader.fault("n_group", "or topk_group is missing") }
        guard self.count % groups == 0, self.count / groups >= rated else {
            throw reader.fault("n_group", "is \(groups), which does not divide \(self.count) experts")
        }
        guard chosen <= groups, self.perToken <= chosen * (self.count / groups) else {
            throw reader.fault("topk_group", "leaves fewer than \(self.perToken) experts to choose from")
        }
        return groups == 1 ? nil : Grouping(count: groups, perToken: chosen, rated: rated)
    }
}

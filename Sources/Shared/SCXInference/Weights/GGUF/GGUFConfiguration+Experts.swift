extension GGUFConfiguration {
    /// Whether the architecture has latent attention.
    var isLatent: Bool { family == .deepseekV2 || family == .deepseekV3 }

    /// Adds how many experts there are, and how a token's are chosen.
    func addExperts(to fields: inout [JSON.Member]) throws(CheckpointError) {
        let count = try integer("expert_count") ?? 0
        let used = try integer("expert_used_count") ?? 0
        guard count != 0 else {
            guard used == 0 else { throw fault("expert_count", "is missing") }
            return
        }
        func add(_ field: String, _ value: Int?) {
            if let value { fields.append(.init(field, .int(value))) }
        }
        switch family {
        case .mixtral, .gptOss:
            let whole = try required("feed_forward_length")
            let size = try integer("expert_feed_forward_length")
            guard size ?? whole == whole else {
                throw unsupported("\(key("expert_feed_forward_length")) \(size ?? 0)", "\(whole)")
            }
            add("num_local_experts", count)
        case .qwen2Moe, .qwen3Moe:
            add("num_experts", count)
            add("moe_intermediate_size", try required("expert_feed_forward_length"))
            // llama.cpp has a rule for each of the two.
            fields.append(.init("norm_topk_prob", .bool(family == .qwen3Moe)))
            if family == .qwen2Moe {
                let whole = try required("feed_forward_length")
                let shared = try integer("expert_shared_feed_forward_length") ?? whole
                add("shared_expert_intermediate_size", shared)
            }
        case .deepseekV2, .deepseekV3:
            add("n_routed_experts", count)
            add("moe_intermediate_size", try required("expert_feed_forward_length"))
            add("n_shared_experts", try required("expert_shared_count"))
            add("first_k_dense_replace", try integer("leading_dense_block_count") ?? 0)
            fields.append(.init("routed_scaling_factor", .double(try number("expert_weights_scale") ?? 1)))
            fields.append(.init("norm_topk_prob", .bool(try flag("expert_weights_norm") ?? false)))
            try addGroups(of: count, to: &fields)
        default:
            throw unsupported(
                "a mixture of experts (\(key("expert_count")))", "dense models of this architecture")
        }
        add("num_experts_per_tok", used)
    }

    /// Adds the groups of experts from which DeepSeek's tokens choose.
    private func addGroups(of count: Int, to fields: inout [JSON.Member]) throws(CheckpointError) {
        let (softmax, sigmoid) = (1, 2)
        let scoring = try integer("expert_gating_func") ?? softmax
        guard scoring == (family == .deepseekV3 ? sigmoid : softmax) else {
            throw unsupported("\(key("expert_gating_func")) \(scoring)", "1 (softmax), 2 (sigmoid)")
        }
        // Files from before this key leave it out; of the models that choose by sigmoid, those with 256 experts have eight.
        let known = family == .deepseekV3 && count == 256
        let groups = try integer("expert_group_count") ?? (known ? 8 : 1)
        let chosen = try integer("expert_group_used_count") ?? (known ? 4 : 1)
        fields.append(.init("n_group", .int(groups)))
        fields.append(.init("topk_group", .int(chosen)))
        if family == .deepseekV2 {
            fields.append(.init("topk_method", .string(groups > 1 ? "group_limited_greedy" : "greedy")))
        }
    }

    /// Adds the sizes of latent attention.
    ///
    /// Newer files give the lengths of keys and values as llama.cpp computes with them, and those of the model under names
    /// that end with `_mla`.
    func addLatents(to fields: inout [JSON.Member]) throws(CheckpointError) {
        let rotated = try headSize()
        let own = (key: try integer("attention.key_length"), value: try integer("attention.value_length"))
        let model = (
            key: try integer("attention.key_length_mla"), value: try integer("attention.value_length_mla")
        )
        guard let keys = model.key ?? own.key, keys > rotated else {
            throw fault("attention.key_length_mla", "is missing, or not above \(rotated)")
        }
        guard let values = model.value ?? own.value else {
            throw fault("attention.value_length_mla", "is missing")
        }
        let rank = try required("attention.kv_lora_rank")
        let queryRank = try integer("attention.q_lora_rank") ?? 0
        for (field, value) in [
            ("qk_rope_head_dim", rotated), ("qk_nope_head_dim", keys - rotated), ("v_head_dim", values),
            ("kv_lora_rank", rank),
        ] { fields.append(.init(field, .int(value))) }
        fields.append(.init("q_lora_rank", queryRank == 0 ? .null : .int(queryRank)))
    }

    /// Adds by what YaRN multiplies the cosines and sines, or the scores.
    func addMagnitude(to scaling: inout [JSON.Member]) throws(CheckpointError) {
        // As the models were published: without rounding of the channels between which the factor grows.
        if family == .gptOss { scaling.append(.init("truncate", .bool(false))) }
        guard isLatent, let factor = try number("rope.scaling.yarn_log_multiplier") else { return }
        // The converter has multiplied it by 0.1, in float32. It leaves out `mscale`, which is the same in all published
        // models.
        let magnitude = Double(Float(factor) * 10)
        for name in ["mscale", "mscale_all_dim"] { scaling.append(.init(name, .double(magnitude))) }
    }
}

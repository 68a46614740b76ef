extension GGUFConfiguration {
    /// The names that llama.cpp gives to tensors.
    var layout: CheckpointLayout {
        var layout = CheckpointLayout()
        layout.prefix = ""
        layout.embedding = "token_embd.weight"
        layout.positions = "position_embd.weight"
        layout.blocks = "blk."
        layout.finalNorm = "output_norm.weight"
        layout.finalNormBias = "output_norm.bias"
        layout.head = "output.weight"
        layout.blockTensors = [
            .attentionNorm: "attn_norm.weight", .attentionNormBias: "attn_norm.bias",
            .query: "attn_q.weight", .queryBias: "attn_q.bias", .key: "attn_k.weight",
            .keyBias: "attn_k.bias",
            .value: "attn_v.weight", .valueBias: "attn_v.bias",
            .queryNorm: "attn_q_norm.weight", .keyNorm: "attn_k_norm.weight",
            .output: "attn_output.weight", .outputBias: "attn_output.bias",
            .attentionResultNorm: "post_attention_norm.weight",
            .feedForwardNorm: "ffn_norm.weight", .feedForwardNormBias: "ffn_norm.bias",
            .gate: "ffn_gate.weight", .gateBias: "ffn_gate.bias", .up: "ffn_up.weight",
            .upBias: "ffn_up.bias",
            .down: "ffn_down.weight", .downBias: "ffn_down.bias",
            .feedForwardResultNorm: "post_ffw_norm.weight",
            .sinks: "attn_sinks.weight",
            .queryDown: "attn_q_a.weight", .queryDownNorm: "attn_q_a_norm.weight",
            .queryUp: "attn_q_b.weight",
            .latentDown: "attn_kv_a_mqa.weight", .latentNorm: "attn_kv_a_norm.weight",
            .latentUp: "attn_kv_b.weight",
            .router: "ffn_gate_inp.weight", .routerBias: "ffn_gate_inp.bias",
            .choiceBias: "exp_probs_b.bias",
            .sharedGate: "ffn_gate_shexp.weight", .sharedUp: "ffn_up_shexp.weight",
            .sharedDown: "ffn_down_shexp.weight", .sharedScore: "ffn_gate_inp_shexp.weight",
        ]
        if family == .gpt2 || family == .phi3 {
            for tensor in [BlockTensor.query, .key, .value] {
                layout.blockTensors[tensor] = "attn_qkv.weight"
            }
            for tensor in [BlockTensor.queryBias, .keyBias, .valueBias] {
                layout.blockTensors[tensor] = "attn_qkv.bias"
            }
        }
        if family == .phi3 { layout.blockTensors[.gate] = "ffn_up.weight" }
        if family == .gptOss { layout.blockTensors[.feedForwardNorm] = "post_attention_norm.weight" }
        layout.stacksExperts = true
        layout.experts = ""
        layout.expertTensors = [
            .gate: "ffn_gate_exps.weight", .up: "ffn_up_exps.weight", .down: "ffn_down_exps.weight",
        ]
        if isLatent, source.contains("blk.0.attn_k_b.weight") {
            (layout.latentKeys, layout.latentValues) = ("attn_k_b.weight", "attn_v_b.weight")
        }
        return layout
    }

    /// Tensors that are read with the metadata: by what the frequencies of the rotation are divided.
    static let factorNames = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"]

    /// Refuses tensors that the model does not use.
    ///
    /// In this format the presence of a tensor is an option: llama.cpp computes a bias or a norm where it finds one.
    func refuseUnknownTensors(_ configuration: DecoderConfiguration) throws(CheckpointError) {
        var known = Set(configuration.expectedTensors().map(\.name))
        known.formUnion(Self.factorNames)
        guard let name = source.tensorNames.first(where: { !known.contains($0) }) else { return }
        throw .unsupported(
            path: file.path, what: "tensor '\(name)' in a model of architecture \(architecture)",
            supported: "the tensors of the family \(family.rawValue)")
    }

    /// The tokens that end an answer: those that the metadata names, and those whose text says it.
    func endOfSequence() throws(CheckpointError) -> [Int] {
        var ids: [Int] = []
        for name in ["eos", "eot", "eom"] {
            if let id = try file.integer("tokenizer.ggml.\(name)_token_id"), id >= 0 { ids.append(id) }
        }
        // Files from before the other two keys leave the end of a turn to its text, as llama.cpp does.
        let texts: Set = [
            "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
            "<|end_of_text|>",
        ]
        let control = 3
        let types = try file.integers("tokenizer.ggml.token_type") ?? []
        if types.contains(control) {
            for (id, text) in (try file.strings("tokenizer.ggml.tokens") ?? []).enumerated()
            where texts.contains(text) && id < types.count && types[id] == control { ids.append(id) }
        }
        var seen: Set<Int> = []
        return ids.filter { seen.insert($0).inserted }
    }

    /// What the metadata says about sampling, as the fields of a `generation_config.json`.
    func sampling() throws(CheckpointError) -> JSON {
        var fields: [JSON.Member] = []
        for (name, field) in [
            ("temp", "temperature"), ("top_p", "top_p"), ("min_p", "min_p"),
            ("penalty_repeat", "repetition_penalty"), ("top_k", "top_k"),
        ] {
            guard let number = try file.number("general.sampling.\(name)") else { continue }
            fields.append(.init(field, .double(number)))
        }
        return .object(fields)
    }
}

/// Reads the metadata of a GGUF file into a ``DecoderConfiguration``.
///
/// The values become the fields of a `config.json`, so that the family's own reader checks them. Names and meanings are
/// those of llama.cpp (`gguf-py/gguf/constants.py` and `src/llama-model.cpp` in <https://github.com/ggml-org/llama.cpp>).
/// A value of the architecture that nothing here reads is refused, and so is a tensor that the model does not use, since
/// either may change what the model computes.
struct GGUFConfiguration {
    let file: GGUFFile
    let source: GGUFSource
    /// llama.cpp's name of the architecture.
    let architecture: String
    let family: ModelFamily
    private let used = UsedKeys()

    /// The keys that were read.
    private final class UsedKeys {
        var names: Set<String> = []
    }

    /// Families by llama.cpp's names of architectures.
    static let families: [String: ModelFamily] = [
        "llama": .llama, "qwen2": .qwen2, "qwen3": .qwen3, "gemma2": .gemma2, "gemma3": .gemma3,
        "phi3": .phi3,
        "smollm3": .smollm3, "olmo2": .olmo2, "granite": .granite, "gpt2": .gpt2, "starcoder2": .starcoder2,
        "qwen2moe": .qwen2Moe, "qwen3moe": .qwen3Moe, "deepseek2": .deepseekV2, "gpt-oss": .gptOss,
    ]

    init(_ file: GGUFFile, _ source: GGUFSource) throws(CheckpointError) {
        (self.file, self.source) = (file, source)
        guard let architecture = try file.string("general.architecture") else {
            throw .field(path: file.path, field: "general.architecture", reason: "is missing")
        }
        let type = try file.string("general.type") ?? "model"
        guard type == "model" else {
            throw .unsupported(path: file.path, what: "general.type '\(type)'", supported: "model")
        }
        guard var family = Self.families[architecture] else {
            throw .unsupported(
                path: file.path, what: "architecture \(architecture)",
                supported: Self.families.keys.sorted().joined(separator: ", "))
        }
        // Mistral's models have the architecture of Llama, as they differ in this alone.
        if architecture == "llama", file.has("llama.attention.sliding_window") { family = .mistral }
        if architecture == "llama", try file.integer("llama.expert_count") ?? 0 != 0 { family = .mixtral }
        // The two differ in how experts are chosen.
        let sigmoid = 2
        if try file.integer("deepseek2.expert_gating_func") == sigmoid { family = .deepseekV3 }
        (self.architecture, self.family) = (architecture, family)
    }

    /// Whether llama.cpp rotates neighbouring channels of this architecture, and so has reordered queries and keys.
    var rotatesNeighbours: Bool { ["llama", "smollm3", "granite"].contains(architecture) }

    // MARK: Values

    func key(_ name: String) -> String { "\(architecture).\(name)" }

    private func take(_ name: String) -> String {
        used.names.insert(key(name))
        return key(name)
    }

    func integer(_ name: String) throws(CheckpointError) -> Int? { try file.integer(take(name)) }

    func number(_ name: String) throws(CheckpointError) -> Double? { try file.number(take(name)) }

    func flag(_ name: String) throws(CheckpointError) -> Bool? { try file.flag(take(name)) }

    func fault(_ name: String, _ reason: String) -> CheckpointError {
        .field(path: file.path, field: key(name), reason: reason)
    }

    func unsupported(_ what: String, _ supported: String) -> CheckpointError {
        .unsupported(path: file.path, what: what, supported: supported)
    }

    func required(_ name: String) throws(CheckpointError) -> Int {
        guard let value = try uniform(name) else { throw fault(name, "is missing") }
        return value
    }

    /// An integer of the model, or of each block where all are the same.
    private func uniform(_ name: String) throws(CheckpointError) -> Int? {
        guard file.values[key(name)]?.kind == .array else { return try integer(name) }
        let values = Set(try file.integers(take(name)) ?? [])
        guard values.count == 1 else {
            throw unsupported("\(key(name)) that differs between blocks", "one value")
        }
        return values.first
    }

    /// Numbers of a small tensor of float32, such as the factors of a rotation; nil where there is none.
    private func factors(_ name: String, count: Int) throws(CheckpointError) -> JSON? {
        guard source.contains(name) else { return nil }
        return .array(try source.tensor(name, shape: [count]).values().map { .double(Double($0)) })
    }

    // MARK: The configuration

    /// The model's configuration, and what became of each value.
    ///
    /// - Throws: ``CheckpointError`` that names the file and the value.
    func configuration() throws(CheckpointError) -> (DecoderConfiguration, [ConfigurationOption]) {
        var fields: [JSON.Member] = [.init("model_type", .string(family.rawValue))]
        try addSizes(to: &fields)
        try addRotation(to: &fields)
        try addOwn(to: &fields)
        for (name, field) in [("bos", "bos_token_id"), ("eos", "eos_token_id")] {
            let id = try file.integer("tokenizer.ggml.\(name)_token_id")
            fields.append(.init(field, id.map { .int($0) } ?? .null))
        }
        let options = try options()
        var configuration = try DecoderConfiguration(json: .object(fields), path: file.path)
        // What is in the file decides about biases.
        let attention = ["attn_q.bias", "attn_qkv.bias"]
        configuration.queryKeyValueBias = attention.contains { source.contains("blk.0.\($0)") }
        configuration.outputBias = source.contains("blk.0.attn_output.bias")
        configuration.feedForwardBias = source.contains("blk.0.ffn_up.bias")
        configuration.clampedGate?.isInterleaved = false
        configuration.experts?.isFused = false
        // The converter has added Gemma's 1 to the weights of norms.
        configuration.normOffset = 0
        configuration.layout = layout
        return (configuration, options)
    }

    private func addSizes(to fields: inout [JSON.Member]) throws(CheckpointError) {
        let heads = try required("attention.head_count")
        let hidden = try required("embedding_length")
        guard heads > 0 else { throw fault("attention.head_count", "is \(heads)") }
        let rows = source.entries["token_embd.weight"]?.entry.shape.first
        guard let vocabulary = try integer("vocab_size") ?? rows else {
            throw .missingTensor(path: file.path, tensor: "token_embd.weight")
        }
        let headSize = try headSize()
        // Latent attention has one for all heads, as llama.cpp computes it.
        let keyValueHeads = try uniform("attention.head_count_kv") ?? heads
        var sizes: [(String, Int)] = [
            ("vocab_size", vocabulary), ("hidden_size", hidden),
            ("num_hidden_layers", try required("block_count")), ("num_attention_heads", heads),
            ("intermediate_size", try required("feed_forward_length")), ("head_dim", headSize),
            ("num_key_value_heads", isLatent ? heads : keyValueHeads),
            ("max_position_embeddings", try required("context_length")),
        ]
        if family == .gpt2 {
            let names = [
                "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
                "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
            ]
            sizes = sizes.map { (names[$0.0] ?? $0.0, $0.1) }
        }
        fields += sizes.map { .init($0.0, .int($0.1)) }
        let epsilon: (value: String, field: String) =
            switch family {
            case .gpt2: ("layer_norm_epsilon", "layer_norm_epsilon")
            case .starcoder2: ("layer_norm_epsilon", "norm_epsilon")
            default: ("layer_norm_rms_epsilon", "rms_norm_eps")
            }
        guard let value = try number("attention." + epsilon.value) else {
            throw fault("attention." + epsilon.value, "is missing")
        }
        fields.append(.init(epsilon.field, .double(value)))
        fields.append(.init("tie_word_embeddings", .bool(!source.contains("output.weight"))))
        guard try flag("attention.causal") ?? true else {
            throw unsupported("attention to later tokens (\(key("attention.causal")))", "causal attention")
        }
        try addExperts(to: &fields)
    }

    /// Channels of a head.
    func headSize() throws(CheckpointError) -> Int {
        guard !isLatent else {
            let rotated = try required("rope.dimension_count")
            guard rotated > 0 else { throw fault("rope.dimension_count", "is \(rotated)") }
            return rotated
        }
        let whole = try required("embedding_length") / max(required("attention.head_count"), 1)
        let size = try integer("attention.key_length") ?? whole
        guard try integer("attention.value_length") ?? size == size else {
            throw unsupported(
                "values of another size than keys (\(key("attention.value_length")))", "\(size)")
        }
        return size
    }

    private func addRotation(to fields: inout [JSON.Member]) throws(CheckpointError) {
        guard family != .gpt2 else { return }
        let size = try headSize()
        let rotated = try integer("rope.dimension_count") ?? size
        if family == .phi3, rotated >= 2, rotated <= size {
            // Halfway between two numbers of channels, since the product is rounded down.
            fields.append(.init("partial_rotary_factor", .double((Double(rotated) + 0.5) / Double(size))))
        } else if rotated != size {
            throw unsupported("\(key("rope.dimension_count")) \(rotated)", "\(size), the size of a head")
        }
        fields.append(.init("rope_theta", .double(try number("rope.freq_base") ?? 10_000)))

        let kind = try file.string(take("rope.scaling.type")) ?? "none"
        let factor = try number("rope.scaling.factor")
        let oldFactor = try number("rope.scale_linear")
        let original = try integer("rope.scaling.original_context_length")
        let attention = try number("rope.scaling.attn_factor")
        _ = try flag("rope.scaling.finetuned")
        var scaling: [JSON.Member] = []
        func add(_ name: String, _ value: Double?) {
            if let value { scaling.append(.init(name, .double(value))) }
        }
        let count = rotated / 2
        let both = try factors("rope_freqs.weight", count: count)
        let long = try factors("rope_factors_long.weight", count: count) ?? both
        let short = try factors("rope_factors_short.weight", count: count) ?? both
        if let long, let short {
            guard both == nil || kind == "none" else {
                throw unsupported("rope_freqs.weight with scaling of type '\(kind)'", "none")
            }
            let length = try required("context_length")
            scaling = [
                .init("type", "longrope"), .init("long_factor", long), .init("short_factor", short),
                .init("original_max_position_embeddings", .int(original ?? length)),
            ]
            // Factors that are the same at any length come without one for the attention.
            add("attention_factor", both == nil ? attention : 1)
        } else {
            switch kind {
            case "none" where (oldFactor ?? 1) == 1: break
            case "none", "linear":
                scaling.append(.init("type", "linear"))
                add("factor", factor ?? oldFactor)
            case "yarn":
                guard (attention ?? 1) == 1 else {
                    throw unsupported("\(key("rope.scaling.attn_factor")) with yarn", "1")
                }
                scaling.append(.init("type", "yarn"))
                add("factor", factor)
                add("original_max_position_embeddings", original.map { Double($0) })
                add("beta_fast", try number("rope.scaling.yarn_beta_fast"))
                add("beta_slow", try number("rope.scaling.yarn_beta_slow"))
                try addMagnitude(to: &scaling)
            default:
                throw unsupported(
                    "rotation of type '\(kind)' (\(key("rope.scaling.type")))", "none, linear, yarn")
            }
        }
        if !scaling.isEmpty { fields.append(.init("rope_scaling", .object(scaling))) }
    }

    /// Adds what only some families have.
    private func addOwn(to fields: inout [JSON.Member]) throws(CheckpointError) {
        func copy(_ names: [(value: String, field: String)]) throws(CheckpointError) {
            for (value, field) in names {
                if let number = try number(value) { fields.append(.init(field, .double(number))) }
            }
        }
        switch family {
        case .mistral, .mixtral, .phi3, .starcoder2, .gptOss: try addWindow(to: &fields)
        case .deepseekV2, .deepseekV3: try addLatents(to: &fields)
        case .gemma2, .gemma3:
            try addWindow(to: &fields)
            try copy([
                ("attn_logit_softcapping", "attn_logit_softcapping"),
                ("final_logit_softcapping", "final_logit_softcapping"),
            ])
            if family == .gemma3 {
                let base = try number("rope.freq_base_swa") ?? 10_000
                fields.append(.init("rope_local_base_freq", .double(base)))
            }
            // llama.cpp knows the models with 27 billion parameters, which alone scale otherwise, by their blocks.
            let blocks = try required("block_count")
            let isLargest = blocks == (family == .gemma2 ? 46 : 62)
            let size =
                try isLargest ? required("embedding_length") / required("attention.head_count") : headSize()
            let scale = try number("attention.scale")
            fields.append(
                .init("query_pre_attn_scalar", .double(scale.map { 1 / ($0 * $0) } ?? Double(size))))
        case .granite:
            try copy([
                ("embedding_scale", "embedding_multiplier"), ("residual_scale", "residual_multiplier"),
                ("attention.scale", "attention_multiplier"), ("logit_scale", "logits_scaling"),
            ])
        default: break
        }
    }

    /// Adds the sliding window, and which blocks have it.
    private func addWindow(to fields: inout [JSON.Member]) throws(CheckpointError) {
        let window = try integer("attention.sliding_window") ?? 0
        fields.append(.init("sliding_window", window == 0 ? .null : .int(window)))
        let name = "attention.sliding_window_pattern"
        guard let value = file.values[key(name)] else { return }
        if value.kind == .array {
            let slides = try file.integers(take(name)) ?? []
            fields.append(
                .init(
                    "layer_types",
                    .array(slides.map { $0 != 0 ? "sliding_attention" : "full_attention" })))
        } else if family == .gemma3 {
            fields.append(.init("sliding_window_pattern", .int(try integer(name) ?? 6)))
        } else if try integer(name) != (family == .gemma2 ? 2 : 1) {
            throw unsupported(key(name), "the family's own pattern")
        }
    }

    /// The values of the architecture; those that were not read are refused.
    private func options() throws(CheckpointError) -> [ConfigurationOption] {
        var options: [ConfigurationOption] = []
        for name in file.keys where name.hasPrefix(architecture + ".") {
            guard used.names.contains(name) else {
                throw .field(
                    path: file.path, field: name,
                    reason: "is not known here, and may change what the model computes")
            }
            options.append(ConfigurationOption(name: name, isHonoured: true))
        }
        return options
    }
}

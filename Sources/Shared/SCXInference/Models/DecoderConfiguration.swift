/// The kinds of decoder that this program can compute, by their `model_type`.
public enum ModelFamily: String, CaseIterable, Sendable {
    case llama, mistral, qwen2, qwen3

    /// The name of the class in `architectures`.
    public var architecture: String {
        switch self {
        case .llama: "LlamaForCausalLM"
        case .mistral: "MistralForCausalLM"
        case .qwen2: "Qwen2ForCausalLM"
        case .qwen3: "Qwen3ForCausalLM"
        }
    }
}

/// Everything about a decoder-only transformer that its forward pass needs to know.
///
/// It is read from `config.json` as Hugging Face transformers 5 reads it, with the same defaults for absent fields.
public struct DecoderConfiguration: Equatable, Sendable {
    public var family: ModelFamily
    public var vocabularySize: Int
    public var hiddenSize: Int
    public var blockCount: Int
    /// Heads of the queries; a multiple of `keyValueHeadCount`.
    public var headCount: Int
    public var keyValueHeadCount: Int
    /// Channels of one head; `headCount · headSize` may differ from `hiddenSize`.
    public var headSize: Int
    /// Channels of the feed-forward network's activation.
    public var feedForwardSize: Int
    /// ε of the RMS norms.
    public var normEpsilon: Float
    public var activation: Activation
    public var rope: RopeParameters
    /// For how many positions the model was made.
    public var maximumLength: Int
    /// Whether the output head is the embedding table.
    public var tiedEmbeddings: Bool
    /// Whether the projections to queries, keys and values have a bias.
    public var queryKeyValueBias = false
    /// Whether the attention's output projection has a bias.
    public var outputBias = false
    /// Whether the projections of the feed-forward network have a bias.
    public var feedForwardBias = false
    /// Whether an RMS norm is applied to each head of queries and keys, before the rotation.
    public var queryKeyNorm = false
    /// For each block the number of last positions that a token attends to, its own included; nil for all.
    public var slidingWindows: [Int?]
    public var beginOfSequence: Int?
    public var endOfSequence: [Int]

    /// The feed-forward network's activation function.
    public enum Activation: String, Sendable {
        case silu
    }
}

extension DecoderConfiguration {
    /// Reads `config.json`.
    ///
    /// - Parameters:
    ///   - json: The file's content.
    ///   - path: The file's name, for errors.
    /// - Throws: ``CheckpointError`` that names the file and the field.
    public init(json: JSON, path: String) throws(CheckpointError) {
        let reader = ConfigurationReader(path: path, json: json)
        guard json.object != nil else {
            throw .file(path: path, action: "read it", reason: "not a JSON object")
        }
        switch try ModelFamily(reader) {
        case .llama: self = try .llama(reader)
        case .mistral: self = try .mistral(reader)
        case .qwen2: self = try .qwen2(reader)
        case .qwen3: self = try .qwen3(reader)
        }
    }

    /// The values of the reference implementation for fields that a configuration lacks.
    struct Defaults {
        var vocabularySize: Int
        var feedForwardSize: Int
        /// Nil means as many as heads.
        var keyValueHeadCount: Int?
        /// Nil means `hiddenSize / headCount`.
        var headSize: Int?
        var maximumLength: Int
        var beginOfSequence: Int?
        var endOfSequence: [Int] = []
    }

    /// Reads what all families have.
    ///
    /// The other properties stay false, and there are no windows.
    init(
        _ family: ModelFamily, _ reader: ConfigurationReader, _ defaults: Defaults
    ) throws(CheckpointError) {
        self.family = family
        vocabularySize = try reader.size("vocab_size", limit: 1 << 24) ?? defaults.vocabularySize
        hiddenSize = try reader.size("hidden_size", limit: 1 << 17) ?? 4096
        blockCount = try reader.size("num_hidden_layers", limit: 1 << 10) ?? 32
        headCount = try reader.size("num_attention_heads", limit: 1 << 12) ?? 32
        feedForwardSize = try reader.size("intermediate_size", limit: 1 << 20) ?? defaults.feedForwardSize
        maximumLength = try reader.size("max_position_embeddings", limit: 1 << 30) ?? defaults.maximumLength
        normEpsilon = Float(try reader.number("rms_norm_eps", minimum: 1e-30) ?? 1e-6)
        tiedEmbeddings = try reader.flag("tie_word_embeddings") ?? false

        let absentHeads = reader.ifAbsent("num_key_value_heads", defaults.keyValueHeadCount)
        keyValueHeadCount = try reader.size("num_key_value_heads", limit: 1 << 12) ?? absentHeads ?? headCount
        guard headCount % keyValueHeadCount == 0 else {
            throw reader.fault(
                "num_attention_heads", "is \(headCount), no multiple of \(keyValueHeadCount) key heads")
        }
        if let size = try reader.size("head_dim", limit: 1 << 12) ?? defaults.headSize {
            headSize = size
        } else {
            guard hiddenSize % headCount == 0 else {
                throw reader.fault("hidden_size", "is \(hiddenSize), no multiple of \(headCount) heads")
            }
            headSize = hiddenSize / headCount
        }
        guard headSize % 2 == 0 else {
            throw reader.fault("head_dim", "is \(headSize), but the rotation needs an even number")
        }
        switch try reader.text("hidden_act") ?? "silu" {
        case "silu", "swish": activation = .silu
        case let other: throw reader.unsupported("activation '\(other)' (hidden_act)", "silu")
        }
        guard reader.value("quantization_config") == nil else {
            throw reader.unsupported(
                "a quantized checkpoint (quantization_config)", "F32, F16 and BF16 weights")
        }
        rope = try RopeParameters(reader, headSize: headSize, maximumLength: maximumLength)
        slidingWindows = Array(repeating: nil, count: blockCount)
        beginOfSequence =
            try reader.tokens("bos_token_id")?.first
            ?? reader.ifAbsent("bos_token_id", defaults.beginOfSequence)
        endOfSequence =
            try reader.tokens("eos_token_id") ?? reader.ifAbsent("eos_token_id", defaults.endOfSequence) ?? []
    }

    /// Sets the windows as Qwen models describe them: by `layer_types`, or for the blocks from
    /// `max_window_layers` on, and only where `use_sliding_window` is set.
    mutating func setWindows(_ reader: ConfigurationReader) throws(CheckpointError) {
        let used = try reader.flag("use_sliding_window") ?? false
        let absent = reader.ifAbsent("sliding_window", 4_096)
        let window = try reader.size("sliding_window", limit: 1 << 30) ?? absent
        guard let types = try reader.texts("layer_types") else {
            guard used, let window else { return }
            var first = 28
            if let value = reader.value("max_window_layers") {
                guard let layers = value.int, layers >= 0 else {
                    throw reader.fault("max_window_layers", "is not a number of blocks")
                }
                first = layers
            }
            for block in min(first, blockCount)..<blockCount { slidingWindows[block] = window }
            return
        }
        guard types.count == blockCount else {
            throw reader.fault("layer_types", "lists \(types.count) blocks of \(blockCount)")
        }
        for (block, type) in types.enumerated() {
            switch type {
            case "full_attention", "attention": break
            case "sliding_attention":
                guard used, let window else {
                    throw reader.fault(
                        "layer_types", "has sliding_attention, but no sliding window is in use")
                }
                slidingWindows[block] = window
            default:
                throw reader.unsupported(
                    "attention of type '\(type)' (layer_types)", "full_attention, sliding_attention")
            }
        }
    }
}

extension ModelFamily {
    /// Finds the family by `model_type`, or by `architectures` where that is absent.
    init(_ reader: ConfigurationReader) throws(CheckpointError) {
        let architectures = try reader.texts("architectures") ?? []
        let supported = Self.allCases.map(\.architecture).joined(separator: ", ")
        let type = try reader.text("model_type")
        guard type != nil || !architectures.isEmpty else {
            throw reader.fault("model_type", "is missing: this is no model's configuration")
        }
        let family = Self.allCases.first { family in
            (type == nil || type == family.rawValue)
                && (architectures.isEmpty || architectures.contains(family.architecture))
        }
        guard let family else {
            throw reader.unsupported("architecture \(architectures.first ?? type ?? "")", supported)
        }
        self = family
    }
}

/// The kinds of decoder that this program can compute, by their `model_type`.
public enum ModelFamily: String, CaseIterable, Sendable {
    case llama, mistral, qwen2, qwen3
    case gemma2
    case gemma3 = "gemma3_text"
    case phi3, smollm3, olmo2, granite, gpt2, starcoder2
    case mixtral
    case qwen2Moe = "qwen2_moe"
    case qwen3Moe = "qwen3_moe"
    case deepseekV2 = "deepseek_v2"
    case deepseekV3 = "deepseek_v3"
    case gptOss = "gpt_oss"
    // Encoders.
    case bert, roberta
    case xlmRoberta = "xlm-roberta"
    case modernbert
    // Models that take pictures alone.
    case vit, clip, siglip
    case clipVision = "clip_vision_model"
    case siglipVision = "siglip_vision_model"
    // Decoders that take pictures too.
    case llava
    case gemma3Pictures = "gemma3"

    /// The name of the class in `architectures`: that of the causal model, or of the encoder without a head.
    public var architecture: String {
        switch self {
        case .llama: "LlamaForCausalLM"
        case .mistral: "MistralForCausalLM"
        case .qwen2: "Qwen2ForCausalLM"
        case .qwen3: "Qwen3ForCausalLM"
        case .gemma2: "Gemma2ForCausalLM"
        case .gemma3: "Gemma3ForCausalLM"
        case .phi3: "Phi3ForCausalLM"
        case .smollm3: "SmolLM3ForCausalLM"
        case .olmo2: "Olmo2ForCausalLM"
        case .granite: "GraniteForCausalLM"
        case .gpt2: "GPT2LMHeadModel"
        case .starcoder2: "Starcoder2ForCausalLM"
        case .mixtral: "MixtralForCausalLM"
        case .qwen2Moe: "Qwen2MoeForCausalLM"
        case .qwen3Moe: "Qwen3MoeForCausalLM"
        case .deepseekV2: "DeepseekV2ForCausalLM"
        case .deepseekV3: "DeepseekV3ForCausalLM"
        case .gptOss: "GptOssForCausalLM"
        case .bert: "BertModel"
        case .roberta: "RobertaModel"
        case .xlmRoberta: "XLMRobertaModel"
        case .modernbert: "ModernBertModel"
        case .vit: "ViTForImageClassification"
        case .clip: "CLIPModel"
        case .siglip: "SiglipModel"
        case .clipVision: "CLIPVisionModelWithProjection"
        case .siglipVision: "SiglipVisionModel"
        case .llava: "LlavaForConditionalGeneration"
        case .gemma3Pictures: "Gemma3ForConditionalGeneration"
        }
    }
}

/// Everything about a transformer, a decoder or an encoder, that its forward pass needs to know.
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
    /// Channels of the activation of a dense feed-forward network; experts have their own.
    public var feedForwardSize: Int
    /// ε of the norms.
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
    /// How queries and keys are normed before the rotation.
    public var queryKeyNorm = QueryKeyNorm.none
    /// For each block the number of last positions that a token attends to, its own included; nil for all.
    public var slidingWindows: [Int?]
    public var beginOfSequence: Int?
    public var endOfSequence: [Int]

    // What follows is as in Llama unless a family says otherwise.

    /// How hidden states are normed.
    public var norm = NormKind.rootMeanSquare
    /// Which inputs and results of a block's two parts are normed.
    public var normPlacement = NormPlacement.before
    /// What is added to stored weights of norms: 1 where a checkpoint stores how much they differ from 1.
    public var normOffset: Float = 0
    /// Whether the activation is multiplied by a second projection, `up`; otherwise `up` is the only one.
    public var isGated = true
    /// How gate and up are combined where that is not `activation(gate) · up`.
    public var clampedGate: ClampedGate?
    /// Whether each head has a learned score for no token at all, which takes a part of the softmax.
    public var hasSinks = false
    /// The factor of embedded tokens.
    public var embeddingScale: Float = 1
    /// The factor of what each part of a block adds to the residual stream.
    public var residualScale: Float = 1
    /// The factor of attention's scores; nil for 1 / √headSize.
    public var scoreScale: Float?
    /// A score s becomes cap · tanh(s / cap); nil leaves it as it is.
    public var scoreCap: Float?
    /// By what logits are divided.
    public var logitDivisor: Float = 1
    /// A logit l becomes cap · tanh(l / cap); nil leaves it as it is.
    public var logitCap: Float?
    /// The second rotary embedding, of blocks with ``Rotation/local``.
    public var localRope: RopeParameters?
    /// By which rotary embedding each block's queries and keys are rotated; empty for the first in all blocks.
    public var rotations: [Rotation] = []
    /// Whether a learned vector is added to the embedded token for each position, of which there are
    /// ``maximumLength``.
    public var learnedPositions = false
    /// The experts of the blocks that have them; nil where no block has any.
    public var experts: Experts?
    /// How keys and values are kept as one vector of each token; nil for keys and values themselves.
    ///
    /// With it, ``keyValueHeadCount`` is 1, and ``headSize`` counts the channels of that vector.
    public var latent: LatentAttention?
    /// How many rows of the table of learned positions come before that of the first token, as in RoBERTa: the last of
    /// them belongs to padding tokens, whose number is one less.
    public var positionOffset = 0
    /// How many kinds of tokens there are, of which each has a learned vector that is added to the embedded token; 0
    /// where there are none.
    public var tokenTypeCount = 0
    /// Whether embedded tokens are normed, positions and kinds included.
    public var normsEmbedding = false
    /// Whether the first block norms the input of its attention.
    public var normsFirstInput = true
    /// Whether hidden states are normed after the last block.
    public var hasFinalNorm = true
    /// Whether a token attends only to itself and to earlier ones; otherwise to later ones as well, so that a sequence
    /// must be computed at once.
    public var isCausal = true
    /// Whether there is an output head, which gives the logits of the next token; a model without one embeds.
    public var hasHead = true
    /// The head of a model that scores whole sequences; nil for none.
    public var sequenceHead: SequenceHead?
    /// The names of the checkpoint's tensors.
    public var layout = CheckpointLayout()
    /// How the checkpoint's tensors are quantised; nil where they are stored as they are.
    public var quantization: Quantization?
    /// The encoder of pictures, whose blocks are numbered after those of the decoder; nil for none.
    ///
    /// A model that takes pictures alone has this encoder and no block, no vocabulary and no head of its own.
    public var vision: VisionTower? {
        get { towers.first }
        set { towers = newValue.map { [$0] } ?? [] }
    }
    /// At most one; a list, since a value cannot hold one of its own kind otherwise.
    var towers: [VisionTower] = []

    /// The gate of gpt-oss: `min(g, limit) · sigmoid(slope · min(g, limit)) · (clamp(u, −limit, limit) + 1)`, where g and u
    /// are beside each other in a row.
    public struct ClampedGate: Equatable, Sendable {
        public var slope: Float
        public var limit: Float
        /// Whether each gate is beside its up, and not all gates before all ups.
        public var isInterleaved = true

        public init(slope: Float, limit: Float) { (self.slope, self.limit) = (slope, limit) }
    }

    /// How hidden states are normed.
    public enum NormKind: Equatable, Sendable {
        /// ``rmsNorm(_:weight:epsilon:into:pool:on:)``
        case rootMeanSquare
        /// ``layerNorm(_:weight:bias:epsilon:into:pool:on:)``, with or without a bias.
        case layer(bias: Bool)
    }

    /// Which inputs and results of a block's two parts are normed.
    public enum NormPlacement: Equatable, Sendable {
        /// The input of each part.
        case before
        /// The input of each part, and its result before it is added to the residual stream.
        case around
        /// The result of each part.
        case after
        /// The sum of each part's result and its input, as in BERT.
        case sum
    }

    /// How queries and keys are normed.
    public enum QueryKeyNorm: Equatable, Sendable {
        case none
        /// Each head by itself, all with the same weights.
        case heads
        /// All heads of a row together.
        case rows
    }

    /// How the queries and keys of a block are rotated.
    public enum Rotation: Equatable, Sendable {
        /// By ``DecoderConfiguration/rope``.
        case global
        /// By ``DecoderConfiguration/localRope``.
        case local
        /// Not at all.
        case none
    }

    /// How the queries and keys of a block are rotated.
    public func rotation(of block: Int) -> Rotation { rotations.isEmpty ? .global : rotations[block] }
}

extension DecoderConfiguration {
    /// Reads `config.json`.
    ///
    /// - Parameters:
    ///   - json: The file's content.
    ///   - path: The file's name, for errors.
    /// - Throws: ``CheckpointError`` that names the file and the field.
    public init(json: JSON, path: String) throws(CheckpointError) {
        self = try Self.read(json: json, path: path).configuration
    }

    /// Reads `config.json`, and says what became of each of its fields.
    ///
    /// - Parameters:
    ///   - json: The file's content.
    ///   - path: The file's name, for errors.
    /// - Returns: The configuration, and the fields in the order of the file.
    /// - Throws: As ``init(json:path:)``.
    public static func read(
        json: JSON, path: String
    ) throws(CheckpointError) -> (configuration: DecoderConfiguration, options: [ConfigurationOption]) {
        let reader = ConfigurationReader(path: path, json: json)
        guard json.object != nil else {
            throw .file(path: path, action: "read it", reason: "not a JSON object")
        }
        var configuration = try model(ModelFamily(reader), reader)
        guard configuration.quantization == nil || !configuration.layout.isTransposed else {
            throw reader.unsupported(
                "quantization_config in a model of type \(configuration.family.rawValue)",
                "F32, F16 and BF16 weights")
        }
        if configuration.vision == nil { try configuration.setHead(reader) }
        return (configuration, try reader.options())
    }

    /// Reads a configuration of a family, without what the class in `architectures` tells of its head.
    static func model(
        _ family: ModelFamily, _ reader: ConfigurationReader
    ) throws(CheckpointError) -> DecoderConfiguration {
        switch family {
        case .llama: try .llama(reader)
        case .mistral: try .mistral(reader)
        case .qwen2: try .qwen2(reader)
        case .qwen3: try .qwen3(reader)
        case .gemma2: try .gemma2(reader)
        case .gemma3: try .gemma3(reader)
        case .phi3: try .phi3(reader)
        case .smollm3: try .smollm3(reader)
        case .olmo2: try .olmo2(reader)
        case .granite: try .granite(reader)
        case .gpt2: try .gpt2(reader)
        case .starcoder2: try .starcoder2(reader)
        case .mixtral: try .mixtral(reader)
        case .qwen2Moe: try .qwen2Moe(reader)
        case .qwen3Moe: try .qwen3Moe(reader)
        case .deepseekV2: try .deepseekV2(reader)
        case .deepseekV3: try .deepseekV3(reader)
        case .gptOss: try .gptOss(reader)
        case .bert: try .bert(reader)
        case .roberta, .xlmRoberta: try .roberta(family, reader)
        case .modernbert: try .modernbert(reader)
        case .vit: try .vit(reader)
        case .clip, .clipVision: try .clip(family, reader)
        case .siglip, .siglipVision: try .siglip(family, reader)
        case .llava: try .llava(reader)
        case .gemma3Pictures: try .gemma3Pictures(reader)
        }
    }

    /// The values of the reference implementation for fields that a configuration lacks.
    struct Defaults {
        var vocabularySize: Int
        var hiddenSize = 4_096
        var blockCount = 32
        var headCount = 32
        /// Nil means four times the hidden size.
        var feedForwardSize: Int?
        /// Nil means as many as heads.
        var keyValueHeadCount: Int?
        /// Nil means `hiddenSize / headCount`.
        var headSize: Int?
        var maximumLength: Int
        var normEpsilon = 1e-6
        var activation = Activation.silu
        var tiedEmbeddings = false
        var ropeBase = 10_000.0
        /// The kind of block whose rotation is the first, where the family has two.
        var ropeType: String?
        /// Whether a part of each head is rotated, if the configuration says so.
        var isPartlyRotated = false
        var beginOfSequence: Int?
        var endOfSequence: [Int] = []
    }

    /// Reads what all families have.
    ///
    /// The other properties stay as in Llama without biases, and there are no windows.
    init(
        _ family: ModelFamily, _ reader: ConfigurationReader, _ defaults: Defaults
    ) throws(CheckpointError) {
        self.family = family
        vocabularySize = try reader.size("vocab_size", limit: 1 << 24) ?? defaults.vocabularySize
        hiddenSize = try reader.size("hidden_size", limit: 1 << 17) ?? defaults.hiddenSize
        blockCount = try reader.size("num_hidden_layers", limit: 1 << 10) ?? defaults.blockCount
        headCount = try reader.size("num_attention_heads", limit: 1 << 12) ?? defaults.headCount
        feedForwardSize =
            try reader.size("intermediate_size", limit: 1 << 20) ?? defaults.feedForwardSize ?? 4 * hiddenSize
        maximumLength = try reader.size("max_position_embeddings", limit: 1 << 30) ?? defaults.maximumLength
        normEpsilon = Float(try reader.number("rms_norm_eps", minimum: 1e-30) ?? defaults.normEpsilon)
        tiedEmbeddings = try reader.flag("tie_word_embeddings") ?? defaults.tiedEmbeddings

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
        activation = try Activation(reader) ?? defaults.activation
        quantization = try Quantization(reader)
        rope = try RopeParameters(
            reader, headSize: headSize, maximumLength: maximumLength, base: defaults.ropeBase,
            isPartial: defaults.isPartlyRotated, of: defaults.ropeType)
        slidingWindows = Array(repeating: nil, count: blockCount)
        beginOfSequence =
            try reader.tokens("bos_token_id")?.first
            ?? reader.ifAbsent("bos_token_id", defaults.beginOfSequence)
        endOfSequence =
            try reader.tokens("eos_token_id") ?? reader.ifAbsent("eos_token_id", defaults.endOfSequence) ?? []
    }

    /// Gives all projections of the attention a bias if `attention_bias` says so.
    mutating func setAttentionBias(_ reader: ConfigurationReader) throws(CheckpointError) {
        let bias = try reader.flag("attention_bias") ?? false
        queryKeyValueBias = bias
        outputBias = bias
    }

    /// Sets the windows as Qwen models describe them: by `layer_types`, or for the blocks from
    /// `max_window_layers` on, and only where `use_sliding_window` is set.
    mutating func setWindows(_ reader: ConfigurationReader) throws(CheckpointError) {
        let used = try reader.flag("use_sliding_window") ?? false
        let absent = reader.ifAbsent("sliding_window", 4_096)
        let window = try reader.size("sliding_window", limit: 1 << 30) ?? absent
        guard reader.value("layer_types") != nil else {
            guard used, let window else { return }
            let first = try reader.blocks("max_window_layers") ?? 28
            for block in min(first, blockCount)..<blockCount { slidingWindows[block] = window }
            return
        }
        try setWindows(reader, used ? window : nil) { _ in false }
    }

    /// Sets the windows of the blocks that `layer_types` lists as sliding.
    ///
    /// - Parameters:
    ///   - reader: The configuration.
    ///   - window: How many positions a sliding block attends to; nil when no window is in use.
    ///   - slides: Which blocks slide where there is no `layer_types`.
    /// - Throws: ``CheckpointError`` that names the field.
    mutating func setWindows(
        _ reader: ConfigurationReader, _ window: Int?, slides: (_ block: Int) -> Bool
    ) throws(CheckpointError) {
        let types =
            try reader.texts("layer_types")
            ?? (0..<blockCount).map { slides($0) ? "sliding_attention" : "full_attention" }
        guard types.count == blockCount else {
            throw reader.fault("layer_types", "lists \(types.count) blocks of \(blockCount)")
        }
        for (block, type) in types.enumerated() {
            switch type {
            case "full_attention", "attention": break
            case "sliding_attention":
                guard let window else {
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

extension Activation {
    /// Reads `hidden_act`; nil when it is absent.
    init?(_ reader: ConfigurationReader) throws(CheckpointError) {
        switch try reader.text("hidden_act") {
        case nil: return nil
        case "silu", "swish": self = .silu
        case "gelu": self = .gelu
        case "gelu_pytorch_tanh", "gelu_new": self = .geluTanh
        case "quick_gelu": self = .quickGelu
        case "relu": self = .relu
        case let other?:
            throw reader.unsupported(
                "activation '\(other)' (\(reader.name("hidden_act")))",
                "silu, gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu")
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
                && (architectures.isEmpty || architectures.contains { family.includes($0) })
        }
        guard let family else {
            throw reader.unsupported("architecture \(architectures.first ?? type ?? "")", supported)
        }
        self = family
    }
}

/// The sizes of a published model, or of a small one for tests, for which random weights can be made.
public struct SyntheticShape: Sendable {
    public let name: String
    public let configuration: DecoderConfiguration

    public static let all: [SyntheticShape] = [
        Self(
            "tinyllama-1.1b", .llama, 32_000, 2_048, blocks: 22, heads: 32, 4, 5_632, length: 2_048, eps: 1e-5
        ),
        Self("llama-7b", .llama, 32_000, 4_096, blocks: 32, heads: 32, 32, 11_008, length: 4_096, eps: 1e-5),
        Self(
            "llama3-8b", .llama, 128_256, 4_096, blocks: 32, heads: 32, 8, 14_336, length: 8_192, eps: 1e-5,
            base: 500_000),
        Self(
            "mistral-7b", .mistral, 32_000, 4_096, blocks: 32, heads: 32, 8, 14_336, length: 32_768,
            eps: 1e-5,
            window: 4_096),
        Self(
            "qwen2-0.5b", .qwen2, 151_936, 896, blocks: 24, heads: 14, 2, 4_864, length: 131_072,
            base: 1_000_000, tied: true),
        Self(
            "qwen3-0.6b", .qwen3, 151_936, 1_024, blocks: 28, heads: 16, 8, headSize: 128, 3_072,
            length: 40_960, base: 1_000_000, tied: true),
        Self(
            "qwen3-1.7b", .qwen3, 151_936, 2_048, blocks: 28, heads: 16, 8, headSize: 128, 6_144,
            length: 40_960, base: 1_000_000, tied: true),
        Self("tiny-llama", .llama, 512, 64, blocks: 2, heads: 4, 2, 160, length: 512, eps: 1e-5),
        Self(
            "tiny-mistral", .mistral, 512, 64, blocks: 3, heads: 4, 2, 160, length: 512, eps: 1e-5, window: 32
        ),
        Self("tiny-qwen2", .qwen2, 512, 64, blocks: 2, heads: 4, 1, 160, length: 512, tied: true),
        Self("tiny-qwen3", .qwen3, 512, 64, blocks: 4, heads: 4, 2, headSize: 32, 160, length: 512),
        Self(
            "small-mixtral", .mixtral, 512, 64, blocks: 4, heads: 4, 2, 96, length: 512, eps: 1e-5,
            experts: (8, 2)),
        Self(
            "small-qwen3-moe", .qwen3Moe, 512, 64, blocks: 4, heads: 4, 2, headSize: 32, 32, length: 512,
            experts: (32, 4)),
        // Blocks of Mixtral 8x7B and of Qwen3-30B-A3B, all of whose widths are divided by four and by two.
        Self(
            "mixtral-8x7b-quarter", .mixtral, 32_000, 1_024, blocks: 4, heads: 8, 2, 3_584, length: 32_768,
            eps: 1e-5,
            base: 1_000_000, experts: (8, 2)),
        Self(
            "qwen3-30b-a3b-half", .qwen3Moe, 32_000, 1_024, blocks: 4, heads: 16, 2, headSize: 64, 384,
            length: 40_960, base: 1_000_000, experts: (128, 8)),
    ]

    /// A shape of sizes that the caller chooses.
    public init(name: String, configuration: DecoderConfiguration) {
        self.name = name
        self.configuration = configuration
    }

    private init(
        _ name: String, _ family: ModelFamily, _ vocabulary: Int, _ hidden: Int, blocks: Int, heads: Int,
        _ keyHeads: Int, headSize: Int? = nil, _ feedForward: Int, length: Int, eps: Float = 1e-6,
        base: Double = 10_000, window: Int? = nil, tied: Bool = false,
        experts: (count: Int, perToken: Int)? = nil
    ) {
        self.name = name
        let size = headSize ?? hidden / heads
        let tokens = SyntheticTokenizer.special(family, vocabularySize: vocabulary)
        var configuration = DecoderConfiguration(
            family: family, vocabularySize: vocabulary, hiddenSize: hidden, blockCount: blocks,
            headCount: heads,
            keyValueHeadCount: keyHeads, headSize: size, feedForwardSize: feedForward, normEpsilon: eps,
            activation: .silu, rope: RopeParameters(base: base, rotaryDimension: size), maximumLength: length,
            tiedEmbeddings: tied, queryKeyValueBias: family == .qwen2,
            queryKeyNorm: family == .qwen3 || family == .qwen3Moe ? .heads : .none,
            slidingWindows: Array(repeating: window, count: blocks), beginOfSequence: tokens.begin,
            endOfSequence: [tokens.end])
        if let experts {
            configuration.experts = DecoderConfiguration.Experts(
                count: experts.count, perToken: experts.perToken, feedForwardSize: feedForward,
                blocks: Array(repeating: true, count: blocks))
            if family == .mixtral { configuration.setMixtralLayout() }
        }
        self.configuration = configuration
    }

    /// The content of the family's `config.json`.
    func configurationFile(type: ElementType) -> JSON {
        let c = configuration
        var members: [JSON.Member] = [
            .init("architectures", [.string(c.family.architecture)]),
            .init("model_type", .string(c.family.rawValue)),
            .init("vocab_size", .int(c.vocabularySize)),
            .init("hidden_size", .int(c.hiddenSize)),
            .init("intermediate_size", .int(c.feedForwardSize)),
            .init("num_hidden_layers", .int(c.blockCount)),
            .init("num_attention_heads", .int(c.headCount)),
            .init("num_key_value_heads", .int(c.keyValueHeadCount)),
            .init("hidden_act", .string(c.activation.rawValue)),
            .init("max_position_embeddings", .int(c.maximumLength)),
            .init("rms_norm_eps", .double(c.normEpsilon == 1e-6 ? 1e-6 : 1e-5)),
            .init("rope_theta", .double(Double(c.rope.base))),
            .init("tie_word_embeddings", .bool(c.tiedEmbeddings)),
            .init("bos_token_id", c.beginOfSequence.map(JSON.int) ?? .null),
            .init("eos_token_id", .int(c.endOfSequence[0])),
            .init("initializer_range", 0.02),
            .init("torch_dtype", .string(["F32": "float32", "F16": "float16"][type.rawValue] ?? "bfloat16")),
        ]
        switch c.family {
        case .llama: members += [.init("attention_bias", false), .init("mlp_bias", false)]
        case .mistral: members.append(.init("sliding_window", c.slidingWindows[0].map(JSON.int) ?? .null))
        case .qwen2: members.append(.init("use_sliding_window", false))
        case .qwen3:
            members += [
                .init("head_dim", .int(c.headSize)), .init("attention_bias", false),
                .init("use_sliding_window", false), .init("sliding_window", .null),
            ]
        case .mixtral:
            members += [
                .init("num_local_experts", .int(c.experts?.count ?? 1)),
                .init("num_experts_per_tok", .int(c.experts?.perToken ?? 1)), .init("sliding_window", .null),
            ]
        case .qwen3Moe:
            members += [
                .init("head_dim", .int(c.headSize)), .init("attention_bias", false),
                .init("use_sliding_window", false), .init("decoder_sparse_step", 1),
                .init("moe_intermediate_size", .int(c.experts?.feedForwardSize ?? 1)),
                .init("num_experts", .int(c.experts?.count ?? 1)),
                .init("num_experts_per_tok", .int(c.experts?.perToken ?? 1)),
                .init("norm_topk_prob", .bool(c.experts?.isNormalized ?? true)),
            ]
        default: preconditionFailure("SyntheticShape: no shape is of this family")
        }
        return .object(members)
    }
}

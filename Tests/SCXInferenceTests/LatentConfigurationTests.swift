import Foundation
import SCXInference
import Testing

/// The fields are those of the published `config.json` of each model.
@Suite("configurations of DeepSeek and gpt-oss")
struct LatentConfigurationTests {
    static let deepseekV3 = """
        {"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu",
        "hidden_size": 7168, "initializer_range": 0.02, "intermediate_size": 18432, "kv_lora_rank": 512,
        "max_position_embeddings": 163840, "model_type": "deepseek_v3", "moe_intermediate_size": 2048,
        "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
        "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
        "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32, "beta_slow": 1,
        "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096,
        "type": "yarn"}, "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
        "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16",
        "transformers_version": "4.33.1", "use_cache": true, "v_head_dim": 128, "vocab_size": 129280}
        """

    static let deepseekV2Lite = """
        {"architectures": ["DeepseekV2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "aux_loss_alpha": 0.001, "bos_token_id": 100000, "eos_token_id": 100001, "first_k_dense_replace": 1,
        "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 10944,
        "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v2",
        "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64,
        "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6,
        "num_hidden_layers": 27, "num_key_value_heads": 16, "pretraining_tp": 1, "q_lora_rank": null,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_scaling":
        {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 4096, "type": "yarn"}, "rope_theta": 10000,
        "routed_scaling_factor": 1.0, "scoring_func": "softmax", "seq_aux": true, "tie_word_embeddings": false,
        "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16", "use_cache": true,
        "v_head_dim": 128, "vocab_size": 102400}
        """

    static let gptOss = """
        {"architectures": ["GptOssForCausalLM"], "attention_bias": true, "attention_dropout": 0.0,
        "eos_token_id": 200002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu",
        "hidden_size": 2880, "initial_context_length": 4096, "initializer_range": 0.02,
        "intermediate_size": 2880, "max_position_embeddings": 131072, "model_type": "gpt_oss",
        "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8,
        "num_local_experts": 32, "output_router_logits": false, "pad_token_id": 199999, "rms_norm_eps": 1e-05,
        "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0,
        "original_max_position_embeddings": 4096, "rope_type": "yarn", "truncate": false},
        "rope_theta": 150000, "router_aux_loss_coef": 0.9, "sliding_window": 128, "swiglu_limit": 7.0,
        "tie_word_embeddings": false, "use_cache": true, "vocab_size": 201088}
        """

    private func read(_ text: String) throws -> DecoderConfiguration {
        try DecoderConfiguration(json: JSON(parsing: text), path: "config.json")
    }

    @Test("DeepSeek-V3: the latent, the groups of experts, YaRN's factor of scores, 671 billion parameters")
    func deepseekV3() throws {
        let model = try read(Self.deepseekV3)
        #expect(model.keyValueHeadCount == 1 && model.headSize == 576 && model.rope.rotaryDimension == 64)
        let latent = try #require(model.latent)
        #expect(latent.queryRank == 1_536 && latent.rank == 512 && latent.isInterleaved)
        // 192^-1/2 · (0.1 · ln 40 + 1)², as transformers computes it.
        #expect(abs((model.scoreScale ?? 0) - 0.135_234) < 1e-6)
        let experts = try #require(model.experts)
        #expect(
            experts.grouping == .init(count: 8, perToken: 4, rated: 2) && experts.scoring == .sigmoid
                && experts.sharedSize == 2_048 && experts.scale == 2.5
                && experts.blocks.prefix(4)
                    == [false, false, false, true]
        )
        // The published count without the block that predicts further tokens: 671.0 billion.
        #expect(model.parameterCount / 100_000_000 == 6_710)
        #expect(model.attendedSize == 16_384 && model.groups(of: .valueUp(block: 60)) == 128)
    }

    @Test(
        "DeepSeek-V2-Lite: queries that are not reduced, a choice from all experts, 15.7 billion parameters")
    func deepseekV2Lite() throws {
        let model = try read(Self.deepseekV2Lite)
        #expect(model.latent?.queryRank == nil && model.experts?.grouping == nil)
        #expect(!model.has(.queryUp(block: 0)) && model.has(.queryLatent(block: 0)))
        #expect(model.experts?.isNormalized == false && model.experts?.sharedSize == 2_816)
        #expect(model.parameterCount / 100_000_000 == 157)
    }

    @Test("gpt-oss-20b: windows in turn, sinks, biases, 20.9 billion parameters")
    func gptOss() throws {
        let model = try read(Self.gptOss)
        #expect(model.slidingWindows.prefix(3) == [128, nil, 128] && model.hasSinks && model.outputBias)
        #expect(model.experts?.hasBias == true && model.experts?.hasRouterBias == true)
        #expect(model.clampedGate == .init(slope: 1.702, limit: 7))
        #expect(model.parameterCount / 100_000_000 == 209)
        #expect(model.differenceFromLlama != nil)
    }

    @Test(
        "fields that would change results are refused by name",
        arguments: [
            (#""topk_method": "noaux_tc""#, #""topk_method": "greedy""#, "topk_method 'greedy'"),
            (#""scoring_func": "sigmoid""#, #""scoring_func": "softmax""#, "scoring_func 'softmax'"),
            (#""moe_layer_freq": 1"#, #""moe_layer_freq": 2"#, "moe_layer_freq"),
            (#""n_group": 8"#, #""n_group": 7"#, "n_group"),
            (#""topk_group": 4"#, #""topk_group": 9"#, "topk_group"),
            (#""num_key_value_heads": 128"#, #""num_key_value_heads": 8"#, "num_key_value_heads"),
            (#""kv_lora_rank": 512"#, #""kv_lora_rank": 0"#, "kv_lora_rank"),
            (#""first_k_dense_replace": 3"#, #""first_k_dense_replace": -1"#, "first_k_dense_replace"),
            (#""n_routed_experts": 256"#, #""n_routed_experts": 5000"#, "n_routed_experts"),
            (#""n_shared_experts": 1"#, #""n_shared_experts": 1000"#, "n_shared_experts"),
            (#""q_lora_rank": 1536"#, #""q_lora_rank": "many""#, "q_lora_rank"),
        ])
    func refused(_ known: String, _ other: String, _ name: String) throws {
        let text = Self.deepseekV3.replacing(known, with: other)
        #expect(text != Self.deepseekV3)
        let error = #expect(throws: CheckpointError.self) { try read(text) }
        #expect("\(error.map { "\($0)" } ?? "")".contains(name))
    }
}

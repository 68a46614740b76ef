import Foundation
import SCXInference
import Testing

/// Expected values were computed with the configuration classes of transformers 5.23.
@Suite("model configurations")
struct ConfigurationTests {
    @Test("an option that nobody reads is refused by name, unless it says nothing or changes no result")
    func unknownOptions() throws {
        for (json, name) in [
            (#"{"model_type": "llama", "attention_gate": true}"#, "'attention_gate'"),
            (#"{"model_type": "granite", "logit_scale": 2}"#, "'logit_scale'"),
            (#"{"model_type": "llama", "partial_rotary_factor": 0.5}"#, "'partial_rotary_factor'"),
            (
                #"{"model_type": "llama", "rope_scaling": {"mrope_section": [16, 24]}}"#,
                "'rope_scaling.mrope_section'"
            ),
        ] {
            let error = #expect(throws: CheckpointError.self) { try configuration(json) }
            let line = error.map { "\($0)" } ?? ""
            #expect(line.contains(name) && line.contains("is not known here"), "\(line)")
        }
        let text =
            #"{"model_type": "llama", "attention_gate": false, "clip_qkv": null, "use_cache": true, "head_dim": 64}"#
        let options = try DecoderConfiguration.read(json: JSON(parsing: text), path: "config.json").options
        #expect(
            options == [
                ConfigurationOption(name: "model_type", isHonoured: true),
                ConfigurationOption(name: "attention_gate", isHonoured: false),
                ConfigurationOption(name: "clip_qkv", isHonoured: false),
                ConfigurationOption(name: "use_cache", isHonoured: false),
                ConfigurationOption(name: "head_dim", isHonoured: true),
            ])
    }

    @Test(
        "published configurations are read as transformers reads them",
        arguments: [
            (
                "llama-2-7b",
                "llama v32000 h4096 b32 32/32x128 f11008 e1e-05 n4096 "
                    + "[] w:all rope 10000 none bos 1 eos [2]"
            ),
            (
                "llama-3-8b",
                "llama v128256 h4096 b32 32/8x128 f14336 e1e-05 n8192 "
                    + "[] w:all rope 500000 none bos 128000 eos [128001]"
            ),
            (
                "llama-3.1-8b-instruct",
                "llama v128256 h4096 b32 32/8x128 f14336 e1e-05 n131072 "
                    + "[] w:all rope 500000 llama3 8 1 4/8192 bos 128000 eos [128001, 128008, 128009]"
            ),
            (
                "mistral-7b-v0.1",
                "mistral v32000 h4096 b32 32/8x128 f14336 e1e-05 n32768 "
                    + "[] w:4096 rope 10000 none bos 1 eos [2]"
            ),
            (
                "mistral-7b-v0.3",
                "mistral v32768 h4096 b32 32/8x128 f14336 e1e-05 n32768 "
                    + "[] w:all rope 1e+06 none bos 1 eos [2]"
            ),
            (
                "mistral-nemo",
                "mistral v131072 h5120 b40 32/8x128 f14336 e1e-05 n1024000 "
                    + "[] w:all rope 1e+06 none bos 1 eos [2]"
            ),
            (
                "qwen2-0.5b",
                "qwen2 v151936 h896 b24 14/2x64 f4864 e1e-06 n131072 "
                    + "[tied qkvBias] w:all rope 1e+06 none bos 151643 eos [151643]"
            ),
            (
                "qwen2-7b",
                "qwen2 v152064 h3584 b28 28/4x128 f18944 e1e-06 n131072 "
                    + "[qkvBias] w:all rope 1e+06 none bos 151643 eos [151643]"
            ),
            (
                "qwen2.5-7b-instruct-yarn",
                "qwen2 v152064 h3584 b28 28/4x128 f18944 e1e-06 n32768 "
                    + "[qkvBias] w:all rope 1e+06 yarn 4/32768 32 1 nil nil nil true bos 151643 eos [151645]"
            ),
            (
                "qwen2.5-7b-instruct",
                "qwen2 v152064 h3584 b28 28/4x128 f18944 e1e-06 n32768 "
                    + "[qkvBias] w:all rope 1e+06 none bos 151643 eos [151645]"
            ),
            (
                "qwen3-0.6b-rope-parameters",
                "qwen3 v151936 h1024 b28 16/8x128 f3072 e1e-06 n40960 "
                    + "[tied qkNorm] w:all rope 1e+06 none bos 151643 eos [151645]"
            ),
            (
                "qwen3-0.6b",
                "qwen3 v151936 h1024 b28 16/8x128 f3072 e1e-06 n40960 "
                    + "[tied qkNorm] w:all rope 1e+06 none bos 151643 eos [151645]"
            ),
            (
                "qwen3-8b",
                "qwen3 v151936 h4096 b36 32/8x128 f12288 e1e-06 n40960 "
                    + "[qkNorm] w:all rope 1e+06 none bos 151643 eos [151645]"
            ),
            (
                "tinyllama-1.1b",
                "llama v32000 h2048 b22 32/4x64 f5632 e1e-05 n2048 [] w:all rope 10000 none bos 1 eos [2]"
            ),
        ])
    func published(name: String, expected: String) throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../Fixtures/configs/\(name).json")
        let text = try String(contentsOf: path, encoding: .utf8)
        #expect(summary(try configuration(text)) == expected)
    }

    @Test(
        "absent fields and options get the meaning they have in transformers",
        arguments: [
            (
                #"{"model_type": "llama"}"#,
                "llama v32000 h4096 b32 32/32x128 f11008 e1e-06 n2048 "
                    + "[] w:all rope 10000 none bos 1 eos [2]"
            ),
            (
                #"{"model_type": "mistral"}"#,
                "mistral v32000 h4096 b32 32/8x128 f14336 e1e-06 n131072 "
                    + "[] w:4096 rope 10000 none bos 1 eos [2]"
            ),
            (
                #"{"model_type": "qwen2"}"#,
                "qwen2 v151936 h4096 b32 32/32x128 f22016 e1e-06 n32768 "
                    + "[qkvBias] w:all rope 10000 none bos nil eos []"
            ),
            (
                #"{"model_type": "qwen3"}"#,
                "qwen3 v151936 h4096 b32 32/32x128 f22016 e1e-06 n32768 "
                    + "[qkNorm] w:all rope 10000 none bos nil eos []"
            ),
            (
                """
                {"model_type": "llama", "num_attention_heads": 16, "attention_bias": true,
                "mlp_bias": true, "head_dim": 96}
                """,
                "llama v32000 h4096 b32 16/16x96 f11008 e1e-06 n2048 "
                    + "[qkvBias oBias mlpBias] w:all rope 10000 none bos 1 eos [2]"
            ),
            (
                """
                {"model_type": "llama", "rope_theta": 5000, "rope_scaling": {"type": "linear",
                "factor": 2}}
                """,
                "llama v32000 h4096 b32 32/32x128 f11008 e1e-06 n2048 "
                    + "[] w:all rope 5000 linear 2 bos 1 eos [2]"
            ),
            (
                """
                {"model_type": "llama", "max_position_embeddings": 4096,
                "rope_scaling": {"rope_type": "dynamic", "factor": 3.5}}
                """,
                "llama v32000 h4096 b32 32/32x128 f11008 e1e-06 n4096 "
                    + "[] w:all rope 10000 dynamic 3.5/4096 bos 1 eos [2]"
            ),
            (
                """
                {"model_type": "llama", "max_position_embeddings": 16384,
                "original_max_position_embeddings": 4096, "rope_parameters": {"rope_type": "yarn", "rope_theta": 20000.0, "factor": null, "beta_fast": 16, "beta_slow": 0, "mscale": 0.5, "mscale_all_dim": 0.75, "truncate": false}}
                """,
                "llama v32000 h4096 b32 32/32x128 f11008 e1e-06 n16384 "
                    + "[] w:all rope 20000 yarn 4/4096 16 1 nil 0.5 0.75 false bos 1 eos [2]"
            ),
            (
                """
                {"model_type": "llama", "rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                "attention_factor": 1.25}}
                """,
                "llama v32000 h4096 b32 32/32x128 f11008 e1e-06 n2048 "
                    + "[] w:all rope 10000 yarn 4/2048 32 1 1.25 nil nil true bos 1 eos [2]"
            ),
            (
                """
                {"model_type": "llama", "rope_theta": 777.0, "rope_scaling": {},
                "rope_parameters": {"rope_type": "default"}}
                """,
                "llama v32000 h4096 b32 32/32x128 f11008 e1e-06 n2048 "
                    + "[] w:all rope 777 none bos 1 eos [2]"
            ),
            (
                """
                {"model_type": "mistral", "num_attention_heads": 24, "hidden_size": 3072,
                "sliding_window": null}
                """,
                "mistral v32000 h3072 b32 24/8x128 f14336 e1e-06 n131072 "
                    + "[] w:all rope 10000 none bos 1 eos [2]"
            ),
            (
                """
                {"model_type": "qwen2", "num_hidden_layers": 4, "use_sliding_window": true,
                "sliding_window": 512, "max_window_layers": 2}
                """,
                "qwen2 v151936 h4096 b4 32/32x128 f22016 e1e-06 n32768 "
                    + "[qkvBias] w:-,-,512,512 rope 10000 none bos nil eos []"
            ),
            (
                """
                {"model_type": "qwen2", "num_hidden_layers": 2, "use_sliding_window": true,
                "max_window_layers": 0}
                """,
                "qwen2 v151936 h4096 b2 32/32x128 f22016 e1e-06 n32768 "
                    + "[qkvBias] w:4096 rope 10000 none bos nil eos []"
            ),
            (
                """
                {"model_type": "qwen3", "num_hidden_layers": 3, "use_sliding_window": true,
                "sliding_window": 64, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "attention_bias": true}
                """,
                "qwen3 v151936 h4096 b3 32/32x128 f22016 e1e-06 n32768 "
                    + "[qkvBias oBias qkNorm] w:64,-,64 rope 10000 none bos nil eos []"
            ),
        ])
    func options(json: String, expected: String) throws {
        #expect(summary(try configuration(json)) == expected)
    }

    @Test(
        "a configuration that cannot be computed is refused by its field",
        arguments: [
            (#"[]"#, "cannot read it: not a JSON object"),
            (#"{}"#, "'model_type' is missing"),
            (#"{"model_type": 3}"#, "'model_type' is not a string"),
            (#"{"architectures": "LlamaForCausalLM"}"#, "'architectures' is not a list of strings"),
            (
                #"{"model_type": "gptj", "architectures": ["GPTJForCausalLM"]}"#,
                "architecture GPTJForCausalLM is not supported (supported: LlamaForCausalLM, MistralForCausalLM, "
                    + "Qwen2ForCausalLM, Qwen3ForCausalLM, Gemma2ForCausalLM, "
            ),
            (
                #"{"model_type": "llama", "architectures": ["LlamaForTokenClassification"]}"#,
                "not supported"
            ),
            (#"{"model_type": "llama", "architectures": ["MistralForCausalLM"]}"#, "not supported"),
            (#"{"model_type": "llama", "hidden_size": 0}"#, "'hidden_size' is 0, which is not in 1…"),
            (#"{"model_type": "llama", "hidden_size": -4096}"#, "'hidden_size' is -4096"),
            (#"{"model_type": "llama", "hidden_size": 4096.5}"#, "'hidden_size' is not an integer"),
            (#"{"model_type": "llama", "hidden_size": "4096"}"#, "'hidden_size' is not an integer"),
            (#"{"model_type": "llama", "hidden_size": 1e30}"#, "'hidden_size' is not an integer"),
            (
                #"{"model_type": "llama", "vocab_size": 9223372036854775807}"#,
                "'vocab_size' is 9223372036854775807"
            ),
            (
                #"{"model_type": "llama", "num_hidden_layers": 1000000000}"#,
                "'num_hidden_layers' is 1000000000"
            ),
            (
                #"{"model_type": "llama", "num_attention_heads": 3}"#,
                "'hidden_size' is 4096, no multiple of 3 heads"
            ),
            (#"{"model_type": "llama", "num_key_value_heads": 5}"#, "no multiple of 5 key heads"),
            (#"{"model_type": "llama", "head_dim": 63}"#, "'head_dim' is 63"),
            (#"{"model_type": "llama", "rms_norm_eps": 0}"#, "'rms_norm_eps' is 0.0"),
            (#"{"model_type": "llama", "rms_norm_eps": NaN}"#, "'rms_norm_eps' is nan"),
            (#"{"model_type": "llama", "rms_norm_eps": true}"#, "'rms_norm_eps' is not a number"),
            (
                #"{"model_type": "llama", "hidden_act": "mish"}"#,
                "activation 'mish' (hidden_act) is not supported"
            ),
            (
                #"{"model_type": "llama", "tie_word_embeddings": 1}"#,
                "'tie_word_embeddings' is neither true nor false"
            ),
            (
                #"{"model_type": "llama", "eos_token_id": "x"}"#,
                "'eos_token_id' is neither a token id nor a list"
            ),
            (
                #"{"model_type": "llama", "quantization_config": {"bits": 4}}"#,
                "'quantization_config.quant_method' is missing"
            ),
            (#"{"model_type": "llama", "rope_theta": 0}"#, "'rope_theta' is 0.0"),
            (#"{"model_type": "llama", "rope_scaling": 2}"#, "'rope_scaling' is not an object"),
            (
                #"{"model_type": "llama", "rope_scaling": {"type": "linear"}}"#,
                "'rope_scaling.factor' is missing"
            ),
            (
                #"{"model_type": "llama", "rope_parameters": {"rope_type": "longrope"}}"#,
                "'rope_parameters.original_max_position_embeddings' is missing"
            ),
            (
                #"{"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 0}}"#,
                "'rope_scaling.factor' is 0.0"
            ),
            (
                #"{"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 1e300}}"#,
                "'rope_scaling.factor' is 1e+300"
            ),
            (
                #"{"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2, "partial_rotary_factor": 0.5}}"#,
                "partial_rotary_factor 0.5"
            ),
            (
                """
                {"model_type": "llama", "rope_scaling":
                {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}}
                """,
                "'rope_scaling.high_freq_factor' is not above low_freq_factor"
            ),
            (
                #"{"model_type": "qwen3", "rope_parameters": {"full_attention": {"rope_theta": 1e6}}}"#,
                "a rotation that differs between blocks"
            ),
            (#"{"model_type": "mistral", "sliding_window": 0}"#, "'sliding_window' is 0"),
            (
                #"{"model_type": "qwen2", "num_hidden_layers": 2, "layer_types": ["full_attention"]}"#,
                "1 blocks of 2"
            ),
            (
                #"{"model_type": "qwen2", "num_hidden_layers": 1, "layer_types": ["sliding_attention"]}"#,
                "no sliding window is in use"
            ),
            (
                #"{"model_type": "qwen2", "num_hidden_layers": 1, "layer_types": ["chunked_attention"]}"#,
                "attention of type 'chunked_attention'"
            ),
            (
                #"{"model_type": "qwen2", "use_sliding_window": true, "max_window_layers": -1}"#,
                "'max_window_layers' is not a number of blocks"
            ),
        ])
    func refused(json: String, expected: String) throws {
        let error = #expect(throws: CheckpointError.self) { try configuration(json) }
        let line = error?.description ?? ""
        #expect(line.hasPrefix("config.json: ") && line.contains(expected), "\(line)")
    }

    @Test("hostile names stay on one line of moderate length")
    func hostileNames() {
        let name = String(repeating: "a\n\u{1B}[31m\u{202E}", count: 1_000)
        let line = CheckpointError.missingTensor(path: "model.safetensors", tensor: name).description
        #expect(!line.contains("\n") && !line.contains("\u{1B}") && !line.unicodeScalars.contains("\u{202E}"))
        #expect(line.count < 5_000)
    }

    @Test("the plan lists every tensor of each family")
    func plans() throws {
        let qwen3 = try configuration(
            #"{"model_type": "qwen3", "num_hidden_layers": 2, "tie_word_embeddings": true}"#)
        let names = qwen3.expectedTensors().map(\.name)
        #expect(names.count == 2 + 2 * 11)
        #expect(names.contains("model.layers.1.self_attn.q_norm.weight") && !names.contains("lm_head.weight"))
        let llama = try configuration(#"{"model_type": "llama", "attention_bias": true, "mlp_bias": true}"#)
        #expect(llama.expectedTensors().count == 3 + 32 * 16)
        #expect(llama.expectedTensors().last?.shape == [32_000, 4_096])
        let qwen2 = try configuration(#"{"model_type": "qwen2", "num_key_value_heads": 4}"#)
        #expect(qwen2.shape(of: .keyBias) == [512] && qwen2.shape(of: .outputBias) == nil)
        #expect(try configuration(#"{"model_type": "llama"}"#).parameterCount == 6_738_415_616)
    }
}

private func configuration(_ text: String) throws -> DecoderConfiguration {
    try DecoderConfiguration(json: JSON(parsing: text), path: "config.json")
}

/// Everything about a configuration in one line.
private func summary(_ c: DecoderConfiguration) -> String {
    func short(_ value: Double?) -> String { value.map { String(format: "%g", $0) } ?? "nil" }
    let flags = [
        ("tied", c.tiedEmbeddings), ("qkvBias", c.queryKeyValueBias), ("oBias", c.outputBias),
        ("mlpBias", c.feedForwardBias), ("qkNorm", c.queryKeyNorm == .heads),
    ].filter(\.1).map(\.0).joined(separator: " ")
    let windows =
        switch Set(c.slidingWindows).count {
        case 1: c.slidingWindows[0].map(String.init) ?? "all"
        default: c.slidingWindows.map { $0.map(String.init) ?? "-" }.joined(separator: ",")
        }
    let scaling =
        switch c.rope.scaling {
        case .none: "none"
        case .linear(let factor): "linear \(short(factor))"
        case .dynamic(let factor, let length): "dynamic \(short(factor))/\(length)"
        case .llama3(let factor, let low, let high, let length):
            "llama3 \(short(factor)) \(short(low)) \(short(high))/\(length)"
        case .yarn(let yarn):
            "yarn \(short(yarn.factor))/\(yarn.originalLength) \(short(yarn.betaFast)) \(short(yarn.betaSlow)) "
                + "\(short(yarn.attentionFactor)) \(short(yarn.mscale)) \(short(yarn.mscaleAllDimensions)) "
                + "\(yarn.truncate)"
        case .long(let long): "longrope \(short(long.factor))/\(long.originalLength)"
        }
    return "\(c.family) v\(c.vocabularySize) h\(c.hiddenSize) b\(c.blockCount) "
        + "\(c.headCount)/\(c.keyValueHeadCount)x\(c.headSize) f\(c.feedForwardSize) e\(short(Double(c.normEpsilon))) "
        + "n\(c.maximumLength) [\(flags)] w:\(windows) rope \(short(c.rope.base)) \(scaling) "
        + "bos \(c.beginOfSequence.map(String.init) ?? "nil") eos \(c.endOfSequence)"
}

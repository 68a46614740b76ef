import Foundation
import SCXInference
import Testing

@Suite("configurations of models that take pictures")
struct VisionConfigurationTests {
    private func read(_ json: String) throws -> DecoderConfiguration {
        try DecoderConfiguration(json: JSON(parsing: json), path: "config.json")
    }

    /// Fields of published configurations, with the numbers that transformers' processors and models have.
    @Test("published configurations are read as transformers reads them")
    func published() throws {
        let llava = try read(
            #"""
            {"architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100, "image_token_index": 32000,
             "model_type": "llava", "pad_token_id": 32001, "projector_hidden_act": "gelu",
             "text_config": {"_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"],
                "max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-05,
                "torch_dtype": "float16", "vocab_size": 32064},
             "tie_word_embeddings": false, "torch_dtype": "float16",
             "vision_config": {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
                "model_type": "clip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 24,
                "patch_size": 14, "projection_dim": 768, "vocab_size": 32000},
             "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": 32064}
            """#)
        var vision = try #require(llava.vision)
        #expect(llava.vocabularySize == 32_064 && llava.blockCount == 32 && llava.hiddenSize == 4_096)
        #expect(vision.rows == 577 && vision.tokensPerPicture == 576 && vision.encoder.blockCount == 23)
        #expect(vision.encoder.activation == .quickGelu && vision.encoder.headSize == 64)
        #expect(llava.towerBlocks == 32..<55)

        let gemma = try read(
            #"""
            {"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
             "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
             "initializer_range": 0.02, "mm_tokens_per_image": 256, "model_type": "gemma3",
             "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
                "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                "sliding_window": 1024},
             "torch_dtype": "bfloat16",
             "vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
                "model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27,
                "patch_size": 14, "vision_use_head": false}}
            """#)
        vision = try #require(gemma.vision)
        #expect(gemma.vocabularySize == 262_208 && gemma.headCount == 8 && gemma.tiedEmbeddings)
        #expect(gemma.endOfSequence == [1, 106] && gemma.hasHead)
        #expect(vision.rows == 4_096 && vision.tokensPerPicture == 256 && vision.encoder.blockCount == 27)
        #expect(vision.encoder.activation == .geluTanh && !vision.hasClassRow)

        let clip = try read(
            #"{"architectures": ["CLIPVisionModelWithProjection"], "model_type": "clip_vision_model", "patch_size": 32}"#
        )
        #expect(clip.blockCount == 0 && clip.vocabularySize == 0 && !clip.hasHead)
        #expect(clip.vision?.rows == 50 && clip.vision?.encoder.blockCount == 12)
    }

    @Test(
        "what is not known, out of bounds or contradictory is refused by one line that names the field",
        arguments: [
            (#""image_size": 1000000"#, "'vision_config.image_size'"),
            (#""patch_size": 0"#, "'vision_config.patch_size'"),
            (#""image_size": 8, "patch_size": 16"#, "'vision_config.patch_size'"),
            (#""image_size": 8000, "patch_size": 2"#, "patches"),
            (#""num_hidden_layers": 5000"#, "'vision_config.num_hidden_layers'"),
            (#""num_channels": 99"#, "'vision_config.num_channels'"),
            (#""hidden_act": "mish""#, "mish"),
            (#""gate_of_patches": 1"#, "'vision_config.gate_of_patches'"),
            (#""model_type": "dinov2""#, "dinov2"),
            (#""image_size": "336""#, "'vision_config.image_size'"),
            (#""head_dim": 32"#, "'vision_config.head_dim'"),
        ])
    func towers(fields: String, named: String) throws {
        let json =
            #"{"model_type": "llava", "text_config": {"vocab_size": 32064}, "vision_config": {\#(fields)}}"#
        let error = #expect(throws: CheckpointError.self) { try read(json) }
        let line = error.map { "\($0)" } ?? ""
        #expect(line.contains(named) && !line.contains("\n"), "\(line)")
    }

    @Test(
        "fields of the whole are checked against its parts",
        arguments: [
            (#""model_type": "llava", "image_token_index": 32000"#, "'image_token_index'"),
            (
                #""model_type": "llava", "image_token_index": 9, "vision_feature_layer": [-2, -5]"#,
                "vision_feature_layer"
            ),
            (
                #""model_type": "llava", "image_token_index": 9, "vision_feature_layer": 13"#,
                "'vision_feature_layer'"
            ),
            (
                #""model_type": "llava", "image_token_index": 9, "vision_feature_layer": 0"#,
                "'vision_feature_layer'"
            ),
            (
                #""model_type": "llava", "image_token_index": 9, "vision_feature_select_strategy": "some""#,
                "vision_feature_select_strategy"
            ),
            (
                #""model_type": "llava", "image_token_index": 9, "image_grid_pinpoints": [[336, 672]]"#,
                "'image_grid_pinpoints'"
            ),
            (
                #""model_type": "llava", "image_token_index": 9, "quantization_config": {"bits": 4}"#,
                "quantization_config"
            ),
        ])
    func wholes(fields: String, named: String) throws {
        let json = #"{\#(fields), "text_config": {"vocab_size": 32000}, "vision_config": {}}"#
        let error = #expect(throws: CheckpointError.self) { try read(json) }
        let line = error.map { "\($0)" } ?? ""
        #expect(line.contains(named) && !line.contains("\n"), "\(line)")
    }

    @Test("a picture of Gemma 3 is a square of tokens that divides its patches, and fits a window")
    func squares() throws {
        func gemma(_ tokens: Int, window: Int = 1_024) -> String {
            #"""
            {"model_type": "gemma3", "mm_tokens_per_image": \#(tokens), "text_config": {"sliding_window": \#(window)},
             "vision_config": {"model_type": "siglip_vision_model", "image_size": 896, "patch_size": 14}}
            """#
        }
        #expect(try read(gemma(256)).vision?.tokensPerPicture == 256)
        for json in [gemma(255), gemma(81), gemma(256, window: 128)] {
            let error = #expect(throws: CheckpointError.self) { try read(json) }
            #expect(error.map { "\($0)" }?.contains("'mm_tokens_per_image'") == true)
        }
    }
}

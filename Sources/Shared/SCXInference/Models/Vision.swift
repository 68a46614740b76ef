// ViT, CLIP and SigLIP; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/vit/configuration_vit.py
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/clip/configuration_clip.py
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/siglip/configuration_siglip.py
extension DecoderConfiguration {
    /// A classifier of pictures by the learned row.
    static func vit(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var tower = try VisionTower.vit(reader)
        let labels = try reader.labelCount() ?? 2
        tower.result = .vector(
            .first, .init(name: "classifier", outputs: labels, hasBias: true, givesLabels: true))
        return pictures(.vit, tower)
    }

    /// The pictures' part of CLIP: the learned row, normed and, but for `CLIPVisionModel`, projected.
    static func clip(
        _ family: ModelFamily, _ reader: ConfigurationReader
    ) throws(CheckpointError) -> Self {
        var tower = try VisionTower.clip(part(family == .clip, reader, .clipVision))
        let outputs = try reader.size("projection_dim", limit: 1 << 17) ?? 512
        let isProjected = try reader.texts("architectures")?.contains("CLIPVisionModel") != true
        tower.result = .vector(
            .first,
            isProjected
                ? .init(name: "visual_projection", outputs: outputs, hasBias: false, givesLabels: false) : nil
        )
        return pictures(family, tower)
    }

    /// The pictures' part of SigLIP: rows pooled by attention; in a classifier, their mean.
    static func siglip(
        _ family: ModelFamily, _ reader: ConfigurationReader
    ) throws(CheckpointError) -> Self {
        let vision = try part(family == .siglip, reader, .siglipVision)
        var tower = try VisionTower.siglip(vision)
        let pools = try vision.flag("vision_use_head") ?? true
        if try reader.texts("architectures")?.contains("SiglipForImageClassification") == true {
            let labels = try reader.labelCount() ?? 2
            tower.result = .vector(
                .mean, .init(name: "classifier", outputs: labels, hasBias: true, givesLabels: true))
        } else {
            guard pools else {
                throw vision.unsupported("vision_use_head: false in a model that embeds pictures", "true")
            }
            tower.result = .vector(.attention, nil)
        }
        return pictures(family, tower)
    }

    /// Where the tower's fields are: in a part of their own beside those of the texts' part, or in the whole.
    private static func part(
        _ isPart: Bool, _ reader: ConfigurationReader, _ family: ModelFamily
    ) throws(CheckpointError) -> ConfigurationReader {
        guard isPart else { return reader }
        reader.ignore([
            "initializer_factor", "logit_scale_init_value", "projection_dim", "text_config",
            "text_config_dict", "vision_config_dict",
        ])
        guard let part = try reader.part("vision_config") else {
            throw reader.fault("vision_config", "is missing")
        }
        try part.expect("model_type", [family.rawValue])
        return part
    }

    /// A model that takes pictures alone.
    private static func pictures(_ family: ModelFamily, _ tower: VisionTower) -> Self {
        var configuration = tower.encoder
        configuration.family = family
        configuration.blockCount = 0
        (configuration.slidingWindows, configuration.rotations) = ([], [])
        configuration.hasFinalNorm = false
        (configuration.beginOfSequence, configuration.endOfSequence) = (nil, [])
        configuration.vision = tower
        return configuration
    }
}

extension VisionTower {
    /// The most patches of a picture.
    static let mostPatches = 1 << 16

    /// The blocks of ViT.
    static func vit(_ reader: ConfigurationReader) throws(CheckpointError) -> VisionTower {
        reader.ignore([
            "encoder_stride", "pooler_act", "pooler_output_size", "attention_probs_dropout_prob",
            "hidden_dropout_prob",
        ])
        var tower = try VisionTower(
            .vit, reader, patch: 16, epsilon: 1e-12, activation: .gelu, hasClassRow: true)
        tower.encoder.queryKeyValueBias = try reader.flag("qkv_bias") ?? true
        tower.patchHasBias = true
        tower.names.prefixes = ["vit.", ""]
        tower.names.classRow = "embeddings.cls_token"
        tower.names.patches = "embeddings.patch_embeddings.projection"
        tower.names.positions = "embeddings.position_embeddings"
        tower.names.hasOnes = true
        func layout(_ blocks: String, _ products: [String]) -> CheckpointLayout {
            var layout = CheckpointLayout(prefix: "vit.", blocks: blocks, products)
            (layout.finalNorm, layout.finalNormBias) = ("layernorm.weight", "layernorm.bias")
            layout.setNorms("layernorm_before", "layernorm_after")
            return layout
        }
        tower.encoder.layout = layout(
            "layers.",
            [
                "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1",
                "mlp.fc2",
            ])
        tower.names.olderBlocks = layout(
            "encoder.layer.",
            [
                "attention.attention.query", "attention.attention.key", "attention.attention.value",
                "attention.output.dense", "intermediate.dense", "output.dense",
            ])
        return tower
    }

    /// The blocks of CLIP's encoder of pictures.
    static func clip(_ reader: ConfigurationReader) throws(CheckpointError) -> VisionTower {
        var tower = try VisionTower(
            .clip, reader, patch: 32, epsilon: 1e-5, activation: .quickGelu, hasClassRow: true)
        tower.normsInput = true
        return tower
    }

    /// The blocks of SigLIP's encoder of pictures.
    static func siglip(_ reader: ConfigurationReader) throws(CheckpointError) -> VisionTower {
        var tower = try VisionTower(
            .siglip, reader, patch: 16, epsilon: 1e-6, activation: .geluTanh, hasClassRow: false)
        tower.patchHasBias = true
        return tower
    }

    /// Reads what all have: blocks of an encoder with biases, normed by LayerNorm before each part.
    private init(
        _ family: ModelFamily, _ reader: ConfigurationReader, patch: Int, epsilon: Double,
        activation: Activation, hasClassRow: Bool
    ) throws(CheckpointError) {
        var reader = reader
        reader.names["rms_norm_eps"] = "layer_norm_eps"
        reader.ignore(
            ConfigurationReader.partDefaults + ["initializer_factor", "projection_dim", "vocab_size"])
        encoder = try DecoderConfiguration(
            family, reader,
            .init(
                vocabularySize: 1, hiddenSize: 768, blockCount: 12, headCount: 12, feedForwardSize: 3_072,
                maximumLength: 1, normEpsilon: epsilon, activation: activation))
        imageSize = try reader.size("image_size", limit: 1 << 13) ?? 224
        patchSize = try reader.size("patch_size", limit: 1 << 10) ?? patch
        channelCount = try reader.size("num_channels", limit: 16) ?? 3
        self.hasClassRow = hasClassRow
        (patchHasBias, normsInput, storedBlocks) = (false, false, encoder.blockCount)
        result = .vector(.first, nil)
        names = Names(prefixes: ["vision_model.", ""])
        guard patchSize <= imageSize else {
            throw reader.fault(
                "patch_size", "is \(patchSize), larger than a picture (image_size \(imageSize))")
        }
        guard side * side <= Self.mostPatches else {
            throw reader.fault(
                "patch_size",
                "is \(patchSize), which cuts a picture into \(side * side) patches; at most \(Self.mostPatches)"
            )
        }
        guard encoder.headCount == encoder.keyValueHeadCount else {
            throw reader.unsupported("num_key_value_heads in an encoder of pictures", "as many as heads")
        }
        guard encoder.headCount * encoder.headSize == encoder.hiddenSize else {
            throw reader.fault(
                "head_dim",
                "is \(encoder.headSize), but \(encoder.headCount) heads share \(encoder.hiddenSize) channels")
        }
        guard encoder.quantization == nil else { throw reader.unsupportedQuantization }
        encoder.vocabularySize = 0
        encoder.tiedEmbeddings = false
        encoder.maximumLength = rows
        encoder.isCausal = false
        encoder.hasHead = false
        encoder.norm = .layer(bias: true)
        encoder.isGated = false
        encoder.queryKeyValueBias = true
        encoder.outputBias = true
        encoder.feedForwardBias = true
        encoder.rotations = Array(repeating: .none, count: encoder.blockCount)
        encoder.layout = CheckpointLayout(
            prefix: "vision_model.", blocks: "encoder.layers.",
            [
                "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1",
                "mlp.fc2",
            ])
        encoder.layout.setNorms("layer_norm1", "layer_norm2")
        (encoder.layout.finalNorm, encoder.layout.finalNormBias) = (
            "post_layernorm.weight", "post_layernorm.bias"
        )
    }

    /// Leaves out the blocks after those whose rows are wanted.
    mutating func keep(blocks count: Int) {
        encoder.blockCount = count
        encoder.slidingWindows = Array(encoder.slidingWindows.prefix(count))
        encoder.rotations = Array(encoder.rotations.prefix(count))
    }
}

extension CheckpointLayout {
    /// The layout of an encoder of pictures, with the names of its six products before `.weight` and `.bias`.
    fileprivate init(prefix: String, blocks: String, _ products: [String]) {
        self.init()
        (self.prefix, self.blocks) = (prefix, blocks)
        let tensors: [(BlockTensor, BlockTensor)] = [
            (.query, .queryBias), (.key, .keyBias), (.value, .valueBias), (.output, .outputBias),
            (.up, .upBias), (.down, .downBias),
        ]
        for (name, (weight, bias)) in zip(products, tensors) {
            (blockTensors[weight], blockTensors[bias]) = (name + ".weight", name + ".bias")
        }
    }

    /// Sets the names of the norms before both parts of a block.
    fileprivate mutating func setNorms(_ attention: String, _ feedForward: String) {
        blockTensors[.attentionNorm] = attention + ".weight"
        blockTensors[.attentionNormBias] = attention + ".bias"
        blockTensors[.feedForwardNorm] = feedForward + ".weight"
        blockTensors[.feedForwardNormBias] = feedForward + ".bias"
    }
}

extension ConfigurationReader {
    /// That the weights of a model that takes pictures are quantised.
    var unsupportedQuantization: CheckpointError {
        unsupported(
            "\(prefix)quantization_config in a model that takes pictures", "F32, F16 and BF16 weights")
    }

    /// Fields of generation and training that old versions of transformers wrote into the parts of a configuration.
    static let partDefaults = [
        "begin_suppress_tokens", "chunk_size_feed_forward", "cross_attention_hidden_size",
        "decoder_start_token_id", "diversity_penalty", "dropout", "early_stopping",
        "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id",
        "forced_eos_token_id", "initializer_factor", "num_beam_groups", "num_return_sequences",
        "output_scores", "pruned_heads", "remove_invalid_values", "return_dict_in_generate",
        "suppress_tokens", "tf_legacy_loss", "tie_encoder_decoder", "typical_p", "use_bfloat16",
    ]
}

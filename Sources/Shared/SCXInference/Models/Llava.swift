// LLaVA and Gemma 3 with pictures; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/llava/configuration_llava.py
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/gemma3/configuration_gemma3.py
extension DecoderConfiguration {
    /// A decoder whose prompts have rows of CLIP's or SigLIP's encoder of pictures in the place of some tokens.
    static func llava(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        reader.ignore(["ignore_index", "image_seq_length", "vocab_size"])
        var configuration = try decoder(reader, [.llama, .mistral, .qwen2, .qwen3])
        configuration.family = .llava
        let isTied = try reader.flag("tie_word_embeddings") ?? false
        configuration.tiedEmbeddings = configuration.tiedEmbeddings || isTied
        guard let vision = try reader.part("vision_config") else {
            throw reader.fault("vision_config", "is missing")
        }
        var tower: VisionTower
        switch try vision.text("model_type") ?? "clip_vision_model" {
        case "clip_vision_model": tower = try .clip(vision)
        case "siglip_vision_model":
            vision.ignore(["vision_use_head"])
            tower = try .siglip(vision)
        case let other:
            throw vision.unsupported("model_type '\(other)'", "clip_vision_model, siglip_vision_model")
        }
        // Hidden state 0 is the first block's input.
        let count = tower.encoder.blockCount
        let layer = reader.value("vision_feature_layer") ?? .int(-2)
        guard let index = layer.int else {
            throw reader.unsupported("several layers (vision_feature_layer)", "one")
        }
        let state = index < 0 ? count + 1 + index : index
        guard (1...count).contains(state) else {
            throw reader.fault("vision_feature_layer", "is \(index), and there are \(count) blocks")
        }
        tower.keep(blocks: state)
        tower.encoder.hasFinalNorm = false
        var activationReader = reader
        activationReader.names["hidden_act"] = "projector_hidden_act"
        let activation = try Activation(activationReader) ?? .gelu
        let strategy = try reader.expect("vision_feature_select_strategy", ["default", "full"])
        tower.result = .tokens(
            .init(
                token: try configuration.pictureToken(reader, 32_000), isMutual: false,
                skippedRows: strategy == "default" ? 1 : 0,
                projector: .network(activation, hasBias: try reader.flag("multimodal_projector_bias") ?? true)
            ))
        guard tower.tokensPerPicture > 0 else {
            throw vision.fault("patch_size", "leaves no patch of a picture")
        }
        configuration.setTower(tower)
        return configuration
    }

    /// Gemma 3, whose tokens of one picture attend to each other in both directions.
    static func gemma3Pictures(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        reader.ignore([
            "boi_token_id", "boi_token_index", "eoi_token_id", "eoi_token_index", "initializer_range",
        ])
        var configuration = try decoder(reader, [.gemma3])
        configuration.family = .gemma3Pictures
        configuration.tiedEmbeddings = try reader.flag("tie_word_embeddings") ?? true
        guard let vision = try reader.part("vision_config") else {
            throw reader.fault("vision_config", "is missing")
        }
        try vision.expect("model_type", ["siglip_vision_model"])
        vision.ignore(["vision_use_head"])
        var tower = try VisionTower.siglip(vision)
        let count = try reader.size("mm_tokens_per_image", limit: VisionTower.mostPatches) ?? 256
        let side = Int(Double(count).squareRoot())
        guard side * side == count, tower.side % side == 0 else {
            throw reader.fault(
                "mm_tokens_per_image",
                "is \(count), which is no square that divides the \(tower.side) x \(tower.side) patches of a picture"
            )
        }
        // Kernels count a window to both sides of a token alike, and here it limits only what comes before.
        let window = configuration.slidingWindows.compactMap(\.self).min()
        if let window, window < count {
            throw reader.fault(
                "mm_tokens_per_image", "is \(count), more than the \(window) tokens of a sliding window")
        }
        tower.result = .tokens(
            .init(
                token: try configuration.pictureToken(reader, 262_144), isMutual: true,
                longestRun: window, skippedRows: 0, projector: .pooled(side: side)))
        configuration.setTower(tower)
        return configuration
    }

    /// Reads the decoder's part.
    ///
    /// - Parameters:
    ///   - reader: The configuration of the whole.
    ///   - families: Which it may be of; the first where `model_type` is absent.
    /// - Returns: The decoder alone.
    /// - Throws: ``CheckpointError`` that names the field.
    private static func decoder(
        _ reader: ConfigurationReader, _ families: [ModelFamily]
    ) throws(CheckpointError) -> Self {
        guard reader.value("quantization_config") == nil else {
            throw reader.unsupportedQuantization
        }
        guard let part = try reader.part("text_config") else {
            throw reader.fault("text_config", "is missing")
        }
        part.ignore(ConfigurationReader.partDefaults)
        let type = try part.text("model_type") ?? families[0].rawValue
        guard let family = families.first(where: { $0.rawValue == type }) else {
            throw part.unsupported(
                "model_type '\(type)'", families.map(\.rawValue).joined(separator: ", "))
        }
        var configuration = try model(family, part)
        guard configuration.quantization == nil else { throw part.unsupportedQuantization }
        try configuration.setHead(part)
        guard configuration.isCausal, configuration.sequenceHead == nil else {
            throw part.unsupported("a decoder that does not generate", "one that does")
        }
        configuration.hasHead = true
        // Only the outer configuration of some checkpoints names the tokens that end an answer.
        if part.value("eos_token_id") == nil, let ends = try reader.tokens("eos_token_id") {
            configuration.endOfSequence = ends
        }
        // Fields that have been looked at count as known.
        for field in ["bos_token_id", "eos_token_id"] { _ = reader.value(field) }
        return configuration
    }

    /// The token at whose places pictures are.
    private func pictureToken(
        _ reader: ConfigurationReader, _ absent: Int
    ) throws(CheckpointError) -> Int {
        let field = reader.value("image_token_id") == nil ? "image_token_index" : "image_token_id"
        let token = try reader.tokens(field)?.first ?? absent
        // Where both are given, transformers takes them for one field.
        if let other = try reader.tokens("image_token_index")?.first, other != token {
            throw reader.fault("image_token_index", "is \(other), but image_token_id is \(token)")
        }
        guard token < vocabularySize else {
            throw reader.fault(field, "is \(token), and the vocabulary has \(vocabularySize) tokens")
        }
        return token
    }

    /// Sets the encoder of pictures, with the names that checkpoints of transformers 5 have.
    private mutating func setTower(_ tower: VisionTower) {
        var tower = tower
        tower.names.prefixes = [
            "model.vision_tower.", "model.vision_tower.vision_model.", "vision_tower.vision_model.",
            "vision_tower.",
        ]
        tower.encoder.layout.prefix = tower.names.prefixes[0]
        layout.prefix = tower.names.decoders[0][0]
        vision = tower
    }
}

// Gemma 2; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma2/configuration_gemma2.py
extension DecoderConfiguration {
    /// Norms around both parts, with weights stored as differences from 1; every other block slides; scores and logits
    /// are capped.
    static func gemma2(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try gemma(
            .gemma2, reader,
            Defaults(
                vocabularySize: 256_000, hiddenSize: 2_304, blockCount: 26, headCount: 8,
                feedForwardSize: 9_216,
                keyValueHeadCount: 4, headSize: 256, maximumLength: 8_192, activation: .geluTanh,
                tiedEmbeddings: true, beginOfSequence: 2, endOfSequence: [1]),
            slides: { $0 % 2 == 0 })
        configuration.scoreCap = try reader.cap("attn_logit_softcapping", absent: 50)
        configuration.logitCap = try reader.cap("final_logit_softcapping", absent: 30)
        return configuration
    }

    /// What Gemma 2 and Gemma 3 have in common.
    static func gemma(
        _ family: ModelFamily, _ reader: ConfigurationReader, _ defaults: Defaults,
        slides: (_ block: Int) -> Bool
    ) throws(CheckpointError) -> Self {
        var reader = reader
        reader.names["hidden_act"] = "hidden_activation"
        reader.ignore(["hidden_act"])
        var configuration = try Self(family, reader, defaults)
        // As in EmbeddingGemma.
        configuration.isCausal = try reader.flag("use_bidirectional_attention") != true
        try configuration.setAttentionBias(reader)
        configuration.normOffset = 1
        configuration.normPlacement = .around
        configuration.embeddingScale = Float(configuration.hiddenSize).squareRoot()
        let scalar = try reader.number("query_pre_attn_scalar", minimum: 1e-6) ?? 256
        configuration.scoreScale = 1 / Float(scalar).squareRoot()
        let window =
            try reader.size("sliding_window", limit: 1 << 30) ?? reader.ifAbsent("sliding_window", 4_096)
        // Where tokens attend to later ones too, the field counts those before and after together.
        try configuration.setWindows(
            reader, configuration.isCausal ? window : window.map { $0 / 2 + 1 }, slides: slides)
        configuration.layout.blockTensors = [
            .attentionResultNorm: "post_attention_layernorm.weight",
            .feedForwardNorm: "pre_feedforward_layernorm.weight",
        ]
        return configuration
    }
}

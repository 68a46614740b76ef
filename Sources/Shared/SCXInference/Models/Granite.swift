// Granite; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/granite/configuration_granite.py
extension DecoderConfiguration {
    /// As Llama, with scales for embeddings, scores, updates and logits.
    static func granite(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .granite, reader,
            Defaults(
                vocabularySize: 32_000, feedForwardSize: 11_008, maximumLength: 2_048, beginOfSequence: 1,
                endOfSequence: [2]))
        try configuration.setAttentionBias(reader)
        configuration.feedForwardBias = try reader.flag("mlp_bias") ?? false
        configuration.embeddingScale = Float(try reader.number("embedding_multiplier", minimum: 1e-6) ?? 1)
        configuration.residualScale = Float(try reader.number("residual_multiplier", minimum: 1e-6) ?? 1)
        configuration.scoreScale = Float(try reader.number("attention_multiplier", minimum: 1e-9) ?? 1)
        configuration.logitDivisor = Float(try reader.number("logits_scaling", minimum: 1e-6) ?? 1)
        return configuration
    }
}

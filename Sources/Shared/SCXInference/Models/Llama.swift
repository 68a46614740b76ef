// Llama and the many models of its form; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/llama/configuration_llama.py
extension DecoderConfiguration {
    /// Every projection may have a bias, by `attention_bias` and `mlp_bias`.
    static func llama(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .llama, reader,
            Defaults(
                vocabularySize: 32_000, feedForwardSize: 11_008, maximumLength: 2_048, beginOfSequence: 1,
                endOfSequence: [2]))
        try configuration.setAttentionBias(reader)
        configuration.feedForwardBias = try reader.flag("mlp_bias") ?? false
        return configuration
    }
}

// Qwen3 (dense); defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen3/configuration_qwen3.py
extension DecoderConfiguration {
    /// Queries and keys are normed per head; the attention's projections may have a bias, by `attention_bias`.
    static func qwen3(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .qwen3, reader,
            Defaults(
                vocabularySize: 151_936, feedForwardSize: 22_016, keyValueHeadCount: 32, headSize: 128,
                maximumLength: 32_768))
        try configuration.setAttentionBias(reader)
        configuration.queryKeyNorm = .heads
        try configuration.setWindows(reader)
        return configuration
    }
}

// Qwen2 and Qwen2.5; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen2/configuration_qwen2.py
extension DecoderConfiguration {
    /// Queries, keys and values always have a bias, the other projections none.
    static func qwen2(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .qwen2, reader,
            Defaults(
                vocabularySize: 151_936, feedForwardSize: 22_016, keyValueHeadCount: 32, maximumLength: 32_768
            ))
        configuration.queryKeyValueBias = true
        try configuration.setWindows(reader)
        return configuration
    }
}

// Mistral; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/mistral/configuration_mistral.py
extension DecoderConfiguration {
    /// All blocks have the same sliding window, unless `sliding_window` is null; there are no biases.
    static func mistral(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .mistral, reader,
            Defaults(
                vocabularySize: 32_000, feedForwardSize: 14_336, keyValueHeadCount: 8, maximumLength: 131_072,
                beginOfSequence: 1, endOfSequence: [2]))
        let absent = reader.ifAbsent("sliding_window", 4_096)
        let window = try reader.size("sliding_window", limit: 1 << 30) ?? absent
        configuration.slidingWindows = Array(repeating: window, count: configuration.blockCount)
        return configuration
    }
}

// Qwen3-MoE; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/qwen3_moe/configuration_qwen3_moe.py
extension DecoderConfiguration {
    /// As Qwen3, with experts in most blocks; all blocks have the same window, if `use_sliding_window` is set.
    static func qwen3Moe(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .qwen3Moe, reader,
            Defaults(
                vocabularySize: 151_936, hiddenSize: 2_048, blockCount: 24, feedForwardSize: 6_144,
                keyValueHeadCount: 4, maximumLength: 32_768))
        try configuration.setAttentionBias(reader)
        configuration.queryKeyNorm = .heads
        configuration.experts = try configuration.readExperts(reader, count: 128, perToken: 8, size: 768)
        let absent = reader.ifAbsent("sliding_window", 4_096)
        let window = try reader.size("sliding_window", limit: 1 << 30) ?? absent
        if try reader.flag("use_sliding_window") ?? false {
            configuration.slidingWindows = Array(repeating: window, count: configuration.blockCount)
        }
        return configuration
    }
}

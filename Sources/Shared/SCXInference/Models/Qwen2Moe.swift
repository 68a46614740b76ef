// Qwen1.5-MoE and Qwen2-MoE; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/qwen2_moe/configuration_qwen2_moe.py
extension DecoderConfiguration {
    /// As Qwen2; in most blocks experts, and beside them one that every token takes, multiplied by a gate.
    static func qwen2Moe(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .qwen2Moe, reader,
            Defaults(
                vocabularySize: 151_936, hiddenSize: 2_048, blockCount: 24, headCount: 16,
                feedForwardSize: 5_632,
                keyValueHeadCount: 16, maximumLength: 32_768))
        configuration.queryKeyValueBias = try reader.flag("qkv_bias") ?? true
        var experts = try configuration.readExperts(reader, count: 60, perToken: 4, size: 1_408)
        experts.sharedSize = try reader.size("shared_expert_intermediate_size", limit: 1 << 20) ?? 5_632
        experts.sharedHasGate = true
        configuration.experts = experts

        let used = try reader.flag("use_sliding_window") ?? false
        let absent = reader.ifAbsent("sliding_window", 4_096)
        let window = try reader.size("sliding_window", limit: 1 << 30) ?? absent
        let last = try reader.blocks("max_window_layers") ?? 28
        // Unlike Qwen2, every other block slides, and those before `max_window_layers`.
        try configuration.setWindows(reader, used ? window : nil) {
            used && window != nil && $0 % 2 == 0 && $0 < last
        }
        return configuration
    }
}

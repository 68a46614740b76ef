// SmolLM3; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/smollm3/configuration_smollm3.py
extension DecoderConfiguration {
    /// As Llama, but every fourth block, or those that `no_rope_layers` lists with 0, is not rotated.
    static func smollm3(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .smollm3, reader,
            Defaults(
                vocabularySize: 128_256, hiddenSize: 2_048, blockCount: 36, headCount: 16,
                feedForwardSize: 11_008, keyValueHeadCount: 4, maximumLength: 32_768, tiedEmbeddings: true,
                ropeBase: 2_000_000, beginOfSequence: 128_000, endOfSequence: [128_001]))
        try configuration.setAttentionBias(reader)
        configuration.feedForwardBias = try reader.flag("mlp_bias") ?? false

        let interval = try reader.size("no_rope_layer_interval", limit: 1 << 10) ?? 4
        let blocks = configuration.blockCount
        var rotates = (0..<blocks).map { ($0 + 1) % interval != 0 }
        if let list = reader.value("no_rope_layers") {
            rotates = (list.array ?? []).compactMap(\.int).map { $0 != 0 }
            guard rotates.count == blocks else {
                throw reader.fault("no_rope_layers", "is not a list of \(blocks) numbers")
            }
        }
        configuration.rotations = rotates.map { $0 ? .global : .none }
        let used = try reader.flag("use_sliding_window") ?? false
        let window = try reader.size("sliding_window", limit: 1 << 30)
        try configuration.setWindows(reader, used ? window : nil) { used && window != nil && !rotates[$0] }
        return configuration
    }
}

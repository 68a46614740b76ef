// Phi-3 and Phi-4; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/phi3/configuration_phi3.py
extension DecoderConfiguration {
    /// Queries, keys and values are one tensor, and so are gate and up; a part of each head may be rotated.
    static func phi3(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .phi3, reader,
            Defaults(
                vocabularySize: 32_064, hiddenSize: 3_072, feedForwardSize: 8_192, maximumLength: 4_096,
                normEpsilon: 1e-5, isPartlyRotated: true, beginOfSequence: 1, endOfSequence: [32_000]))
        let window = try reader.size("sliding_window", limit: 1 << 30)
        try configuration.setWindows(reader, window) { _ in window != nil }
        let (attention, feedForward) = ("self_attn.qkv_proj.weight", "mlp.gate_up_proj.weight")
        configuration.layout.blockTensors = [
            .query: attention, .key: attention, .value: attention, .gate: feedForward, .up: feedForward,
        ]
        return configuration
    }
}

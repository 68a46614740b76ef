// StarCoder2; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/starcoder2/configuration_starcoder2.py
extension DecoderConfiguration {
    /// Norms that subtract the mean, no gate, and biases unless `use_bias` is false.
    static func starcoder2(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var reader = reader
        reader.names["rms_norm_eps"] = "norm_epsilon"
        var configuration = try Self(
            .starcoder2, reader,
            Defaults(
                vocabularySize: 49_152, hiddenSize: 3_072, blockCount: 30, headCount: 24,
                feedForwardSize: 12_288, keyValueHeadCount: 2, maximumLength: 4_096, normEpsilon: 1e-5,
                activation: .geluTanh, tiedEmbeddings: true, beginOfSequence: 50_256, endOfSequence: [50_256])
        )
        let bias = try reader.flag("use_bias") ?? true
        configuration.queryKeyValueBias = bias
        configuration.outputBias = bias
        configuration.feedForwardBias = bias
        configuration.norm = .layer(bias: true)
        configuration.isGated = false
        let window = try reader.size("sliding_window", limit: 1 << 30)
        try configuration.setWindows(reader, window) { _ in window != nil }
        configuration.layout.blockTensors = [
            .up: "mlp.c_fc.weight", .upBias: "mlp.c_fc.bias",
            .down: "mlp.c_proj.weight", .downBias: "mlp.c_proj.bias",
        ]
        return configuration
    }
}

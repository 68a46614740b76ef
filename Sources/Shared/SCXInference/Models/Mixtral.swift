// Mixtral; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/mixtral/configuration_mixtral.py
extension DecoderConfiguration {
    /// As Mistral, with experts in every block; the weights of a token's experts add up to 1.
    static func mixtral(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        // Noise that the router gets in training.
        reader.ignore(["router_jitter_noise"])
        var configuration = try Self(
            .mixtral, reader,
            Defaults(
                vocabularySize: 32_000, feedForwardSize: 14_336, keyValueHeadCount: 8, maximumLength: 131_072,
                normEpsilon: 1e-5, ropeBase: 1_000_000, beginOfSequence: 1, endOfSequence: [2]))
        let window = try reader.size("sliding_window", limit: 1 << 30)
        configuration.slidingWindows = Array(repeating: window, count: configuration.blockCount)
        configuration.experts = try configuration.readExperts(
            reader, "num_local_experts", count: 8, perToken: 2,
            blocks: Array(repeating: true, count: configuration.blockCount),
            size: configuration.feedForwardSize)
        configuration.setMixtralLayout()
        return configuration
    }

    /// Sets the names of Mixtral's tensors.
    mutating func setMixtralLayout() {
        layout.blockTensors = [.router: "block_sparse_moe.gate.weight"]
        layout.experts = "block_sparse_moe.experts."
        layout.expertTensors = [.gate: "w1.weight", .up: "w3.weight", .down: "w2.weight"]
    }
}

// gpt-oss; defaults of
// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/gpt_oss/configuration_gpt_oss.py
extension DecoderConfiguration {
    /// Sliding and full blocks in turn, attention with sinks, experts with a clamped gate and biases in every block.
    static func gptOss(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        // They repeat other fields.
        reader.ignore(["experts_per_token", "initial_context_length"])
        var configuration = try Self(
            .gptOss, reader,
            Defaults(
                vocabularySize: 201_088, hiddenSize: 2_880, blockCount: 36, headCount: 64,
                feedForwardSize: 2_880, keyValueHeadCount: 8, headSize: 64, maximumLength: 131_072,
                normEpsilon: 1e-5, ropeBase: 150_000))
        if reader.value("rope_scaling") == nil, reader.value("rope_parameters") == nil {
            configuration.rope.scaling = .yarn(
                RopeScaling.Yarn(factor: 32, originalLength: 4_096, truncate: false))
        }
        configuration.queryKeyValueBias = try reader.flag("attention_bias") ?? true
        configuration.outputBias = configuration.queryKeyValueBias
        configuration.hasSinks = true
        let absent = reader.ifAbsent("sliding_window", 128)
        let window = try reader.size("sliding_window", limit: 1 << 30) ?? absent
        try configuration.setWindows(reader, window) { $0 % 2 == 0 }
        configuration.clampedGate = ClampedGate(
            slope: Float(try reader.number("swiglu_alpha", minimum: 1e-6) ?? 1.702),
            limit: Float(try reader.number("swiglu_limit", minimum: 1e-6) ?? 7))
        var experts = try configuration.readExperts(
            reader, "num_local_experts", count: 128, perToken: 4,
            blocks: Array(repeating: true, count: configuration.blockCount),
            size: configuration.feedForwardSize)
        experts.hasRouterBias = true
        experts.hasBias = true
        // Codes of MXFP4 are stored by outputs, plain numbers by inputs.
        (experts.isFused, experts.isTransposed) = (true, configuration.quantization == nil)
        guard configuration.quantization.map({ $0.scheme == .mxfp4 }) ?? true else {
            throw reader.unsupported("quantization_config other than mxfp4 in gpt_oss", "mxfp4")
        }
        configuration.experts = experts
        configuration.layout.blockTensors = [
            .router: "mlp.router.weight", .routerBias: "mlp.router.bias",
        ]
        return configuration
    }
}

// OLMo 2; defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/olmo2/configuration_olmo2.py
extension DecoderConfiguration {
    /// The results of both parts are normed, not their inputs; queries and keys are normed over all heads.
    static func olmo2(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        var configuration = try Self(
            .olmo2, reader,
            Defaults(
                vocabularySize: 50_304, feedForwardSize: 11_008, maximumLength: 2_048, normEpsilon: 1e-5,
                endOfSequence: [50_279]))
        try configuration.setAttentionBias(reader)
        configuration.normPlacement = .after
        configuration.queryKeyNorm = .rows
        configuration.layout.blockTensors = [.attentionResultNorm: "post_attention_layernorm.weight"]
        return configuration
    }
}

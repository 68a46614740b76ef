// Gemma 3 (text); defaults of
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma3/configuration_gemma3.py
extension DecoderConfiguration {
    /// As Gemma 2, with normed queries and keys, and another base of the rotation in sliding blocks, without caps.
    static func gemma3(_ reader: ConfigurationReader) throws(CheckpointError) -> Self {
        let period = try reader.size("sliding_window_pattern", limit: 1 << 10) ?? 6
        var configuration = try gemma(
            .gemma3, reader,
            Defaults(
                vocabularySize: 262_208, hiddenSize: 2_304, blockCount: 26, headCount: 8,
                feedForwardSize: 9_216,
                keyValueHeadCount: 4, headSize: 256, maximumLength: 131_072, activation: .geluTanh,
                tiedEmbeddings: true, ropeBase: 1_000_000, ropeType: "full_attention", beginOfSequence: 2,
                endOfSequence: [1]),
            slides: { ($0 + 1) % period != 0 })
        configuration.queryKeyNorm = .heads
        configuration.scoreCap = try reader.cap("attn_logit_softcapping", absent: nil)
        configuration.logitCap = try reader.cap("final_logit_softcapping", absent: nil)
        reader.ignore(["_sliding_window_pattern"])
        // The old spelling has a base of its own for sliding blocks, and scales the rotation of the others alone.
        var local = RopeParameters(
            base: try reader.number("rope_local_base_freq", minimum: 1.000_1) ?? 10_000,
            rotaryDimension: configuration.headSize)
        if reader.value("rope_parameters")?["sliding_attention"]?.object != nil {
            local = try RopeParameters(
                reader, headSize: configuration.headSize, maximumLength: configuration.maximumLength,
                base: 10_000, of: "sliding_attention")
        }
        configuration.localRope = local
        configuration.rotations = configuration.slidingWindows.map { $0 == nil ? .global : .local }
        return configuration
    }
}

extension RopeParameters {
    /// Reads the old spelling (`rope_theta` and `rope_scaling`) and the new one (`rope_parameters`).
    init(
        _ reader: ConfigurationReader, headSize: Int, maximumLength: Int
    ) throws(CheckpointError) {
        // If both are there, the reference implementation takes the old one, unless it is empty.
        var field = "rope_scaling"
        if [nil, .object([])].contains(reader.value(field)) { field = "rope_parameters" }
        let object = reader.value(field) ?? .object([])
        guard let members = object.object else { throw reader.fault(field, "is not an object") }
        guard !members.contains(where: { $0.value.object != nil }) else {
            throw reader.unsupported(
                "a rotation that differs between blocks (\(field))", "one for all blocks")
        }
        let scaled = ConfigurationReader(path: reader.path, json: object, prefix: field + ".")

        // A base of 1 or less gives no useful wavelengths, and YaRN divides by its logarithm.
        let ownBase = try scaled.number("rope_theta", minimum: 1.000_1)
        let outerBase = try reader.number("rope_theta", minimum: 1.000_1)
        base = ownBase ?? outerBase ?? 10_000
        rotaryDimension = headSize

        let oldType = try scaled.text("type")
        let type = try scaled.text("rope_type") ?? oldType ?? "default"
        guard type != "default" else {
            scaling = .none
            return
        }
        guard ["linear", "dynamic", "llama3", "yarn"].contains(type) else {
            throw reader.unsupported(
                "rotation of type '\(type)' (\(field))", "default, linear, dynamic, llama3, yarn")
        }
        let partial = try scaled.number("partial_rotary_factor", minimum: 0) ?? 1
        guard partial == 1 else {
            throw reader.unsupported("partial_rotary_factor \(partial) with \(type) scaling", "1")
        }
        func required(_ name: String) throws(CheckpointError) -> Double {
            guard let value = try scaled.number(name, minimum: 1e-6) else {
                throw scaled.fault(name, "is missing")
            }
            return value
        }
        // A length beside the parameters of the rotation takes precedence, as in the reference implementation.
        let name = "original_max_position_embeddings"
        let outerLength = try reader.size(name, limit: 1 << 30)
        let ownLength = try scaled.size(name, limit: 1 << 30)
        let originalLength = outerLength ?? ownLength ?? maximumLength
        switch type {
        case "linear": scaling = .linear(factor: try required("factor"))
        case "dynamic":
            // The reference implementation stretches from max_position_embeddings on, whatever else is given.
            guard rotaryDimension > 2 else {
                throw reader.fault("head_dim", "is too small for dynamic scaling")
            }
            scaling = .dynamic(factor: try required("factor"), originalLength: maximumLength)
        case "llama3":
            let low = try required("low_freq_factor")
            let high = try required("high_freq_factor")
            guard high > low else { throw scaled.fault("high_freq_factor", "is not above low_freq_factor") }
            scaling = .llama3(
                factor: try required("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
                originalLength: originalLength)
        default:
            // Zero stands for the default, as in the reference implementation.
            func optional(_ name: String) throws(CheckpointError) -> Double? {
                let value = try scaled.number(name, minimum: 0)
                return value == 0 ? nil : value
            }
            scaling = .yarn(
                RopeScaling.Yarn(
                    factor: try scaled.number("factor", minimum: 1e-6) ?? Double(maximumLength)
                        / Double(originalLength),
                    originalLength: originalLength,
                    attentionFactor: try scaled.number("attention_factor", minimum: 0),
                    mscale: try optional("mscale"), mscaleAllDimensions: try optional("mscale_all_dim"),
                    betaFast: try optional("beta_fast") ?? 32, betaSlow: try optional("beta_slow") ?? 1,
                    truncate: try scaled.flag("truncate") ?? true))
        }
    }
}

extension RopeParameters {
    /// Reads the old spelling (`rope_theta` and `rope_scaling`) and the new one (`rope_parameters`).
    ///
    /// - Parameters:
    ///   - reader: The configuration.
    ///   - headSize: Channels of a head.
    ///   - maximumLength: For how many positions the model was made.
    ///   - base: The base where the configuration says none.
    ///   - isPartial: Whether the family rotates only a part of each head, if the configuration says so.
    ///   - type: The kind of block, for families whose `rope_parameters` have an object for each kind.
    /// - Throws: ``CheckpointError`` that names the field.
    init(
        _ reader: ConfigurationReader, headSize: Int, maximumLength: Int, base: Double,
        isPartial: Bool = false,
        of type: String? = nil
    ) throws(CheckpointError) {
        // If both are there, the reference implementation takes the old one, unless it is empty.
        var field = "rope_scaling"
        if [nil, .object([])].contains(reader.value(field)) { field = "rope_parameters" }
        var object = reader.value(field) ?? .object([])
        if let type, let own = object[type], own.object != nil { (object, field) = (own, "\(field).\(type)") }
        guard let members = object.object else { throw reader.fault(field, "is not an object") }
        guard !members.contains(where: { $0.value.object != nil }) else {
            throw reader.unsupported(
                "a rotation that differs between blocks (\(field))", "one for all blocks")
        }
        let scaled = ConfigurationReader(path: reader.path, json: object, prefix: field + ".")

        // A base of 1 or less gives no useful wavelengths, and YaRN divides by its logarithm.
        let ownBase = try scaled.number("rope_theta", minimum: 1.000_1)
        let outerBase = try reader.number("rope_theta", minimum: 1.000_1)
        let ownPart = try scaled.number("partial_rotary_factor", minimum: 0)
        rotaryDimension = headSize
        if isPartial {
            let outerPart = try reader.number("partial_rotary_factor", minimum: 0)
            rotaryDimension = Int(Double(headSize) * min(outerPart ?? ownPart ?? 1, 1))
            guard rotaryDimension >= 2, rotaryDimension % 2 == 0 else {
                throw reader.fault(
                    "partial_rotary_factor", "rotates \(rotaryDimension) of \(headSize) channels")
            }
        }
        let oldKind = try scaled.text("type")
        let kind = try scaled.text("rope_type") ?? oldKind ?? "default"
        guard isPartial || kind == "default" || (ownPart ?? 1) == 1 else {
            throw reader.unsupported("partial_rotary_factor \(ownPart ?? 1) with \(kind) scaling", "1")
        }
        self.base = ownBase ?? outerBase ?? base
        scaling = try RopeScaling(
            kind, reader, scaled, rotaryDimension: rotaryDimension, maximumLength: maximumLength)
        _ = try scaled.options(harmless: Self.otherNames)
    }

    /// Fields of other kinds of rotations, which the reference implementation ignores as well.
    private static let otherNames: Set<String> = [
        "attention_factor", "beta_fast", "beta_slow", "factor", "finetuned", "high_freq_factor",
        "long_factor",
        "long_mscale", "low_freq_factor", "mscale", "mscale_all_dim", "original_max_position_embeddings",
        "short_factor", "short_mscale", "truncate",
    ]
}

extension RopeScaling {
    /// Reads the scaling of that kind.
    fileprivate init(
        _ kind: String, _ reader: ConfigurationReader, _ scaled: ConfigurationReader, rotaryDimension: Int,
        maximumLength: Int
    ) throws(CheckpointError) {
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
        switch kind {
        case "default": self = .none
        case "linear": self = .linear(factor: try required("factor"))
        case "dynamic":
            // The reference implementation stretches from max_position_embeddings on, whatever else is given.
            guard rotaryDimension > 2 else {
                throw reader.fault("head_dim", "is too small for dynamic scaling")
            }
            self = .dynamic(factor: try required("factor"), originalLength: maximumLength)
        case "llama3":
            let low = try required("low_freq_factor")
            let high = try required("high_freq_factor")
            guard high > low else { throw scaled.fault("high_freq_factor", "is not above low_freq_factor") }
            self = .llama3(
                factor: try required("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
                originalLength: originalLength)
        case "longrope", "su":
            func factors(_ name: String) throws(CheckpointError) -> [Float] {
                let values = (scaled.value(name)?.array ?? []).compactMap(\.double).map { Float($0) }
                guard values.count == rotaryDimension / 2, values.allSatisfy({ $0 > 0 && $0.isFinite }) else {
                    throw scaled.fault(name, "is not a list of \(rotaryDimension / 2) positive numbers")
                }
                return values
            }
            guard (outerLength ?? ownLength) != nil else { throw scaled.fault(name, "is missing") }
            let factor =
                try scaled.number("factor", minimum: 1e-6) ?? Double(maximumLength) / Double(originalLength)
            self = .long(
                RopeScaling.Long(
                    short: try factors("short_factor"), long: try factors("long_factor"), factor: factor,
                    originalLength: originalLength,
                    attentionFactor: try scaled.number("attention_factor", minimum: 0)))
        case "yarn":
            // Zero stands for the default, as in the reference implementation.
            func optional(_ name: String) throws(CheckpointError) -> Double? {
                let value = try scaled.number(name, minimum: 0)
                return value == 0 ? nil : value
            }
            self = .yarn(
                RopeScaling.Yarn(
                    factor: try scaled.number("factor", minimum: 1e-6) ?? Double(maximumLength)
                        / Double(originalLength),
                    originalLength: originalLength,
                    attentionFactor: try scaled.number("attention_factor", minimum: 0),
                    mscale: try optional("mscale"), mscaleAllDimensions: try optional("mscale_all_dim"),
                    betaFast: try optional("beta_fast") ?? 32, betaSlow: try optional("beta_slow") ?? 1,
                    truncate: try scaled.flag("truncate") ?? true))
        default:
            throw reader.unsupported(
                "rotation of type '\(kind)' (\(scaled.prefix.dropLast()))",
                "default, linear, dynamic, llama3, longrope, yarn")
        }
    }
}

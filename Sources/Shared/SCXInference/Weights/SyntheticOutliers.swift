/// Channels of a random checkpoint whose activations are far larger than the others, as large language models have some.
///
/// The same few channels of every norm are larger by the strength, hence inputs of {q,k,v}, {gate,up} and {head}; and a few
/// rows of every `up`, hence inputs of {down}.
public struct SyntheticOutliers: Equatable, Sendable {
    /// How many times the others'.
    public let strength: Float
    /// How many channels of each kind.
    public let channels: Int
    /// Whether the weights that read such a channel are smaller by the strength, so that the model computes what it would
    /// without outliers; else those channels outweigh all others.
    public let isCompensated: Bool

    /// - Precondition: The strength is finite and positive, the number of channels positive.
    public init(strength: Float, channels: Int = 4, isCompensated: Bool = false) {
        precondition(strength.isFinite && strength > 0 && channels > 0, "SyntheticOutliers: out of range")
        (self.strength, self.channels, self.isCompensated) = (strength, channels, isCompensated)
    }

    /// What the rows and the columns of a tensor are multiplied by; empty where all by 1.
    func factors(_ tensor: SafeTensorsWriter.Tensor) -> (rows: [Float], columns: [Float]) {
        let name = tensor.name
        let columns = tensor.shape.count > 1 ? tensor.shape[1] : 0
        if name.hasSuffix("layernorm.weight") || name == DecoderConfiguration.finalNormName {
            return (spread(tensor.shape[0], strength), [])
        }
        if name.hasSuffix(BlockTensor.up.rawValue) {
            return (spread(tensor.shape[0], strength), isCompensated ? spread(columns, 1 / strength) : [])
        }
        guard isCompensated else { return ([], []) }
        let reads =
            [BlockTensor.query, .key, .value, .gate, .down].contains { name.hasSuffix($0.rawValue) }
            || name == DecoderConfiguration.headName
        return ([], reads ? spread(columns, 1 / strength) : [])
    }

    /// `factor` in the outlying channels, 1 in the others.
    private func spread(_ count: Int, _ factor: Float) -> [Float] {
        var factors = [Float](repeating: 1, count: count)
        // An odd step, so that they share no group of inputs where there are enough of these.
        for i in 0..<min(channels, count) { factors[(17 + i * (count / channels | 1)) % count] = factor }
        return factors
    }
}

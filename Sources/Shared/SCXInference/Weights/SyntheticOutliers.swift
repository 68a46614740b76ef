/// Channels of a random checkpoint whose activations are far larger than the others, as there are some in large
/// language models.
///
/// The same few channels of every norm are multiplied by the strength, and so are the inputs of {q,k,v}, {gate,up}
/// and {head}. A few rows of every `up` are multiplied too, and so are the inputs of {down}.
public struct SyntheticOutliers: Equatable, Sendable {
    /// How many times larger than the others these channels are.
    public let strength: Float
    /// How many channels of each kind there are.
    public let channels: Int
    /// Whether the weights that multiply such a channel are divided by the strength, so that the model computes what
    /// it would compute without outliers.
    ///
    /// Otherwise these channels dominate the others.
    public let isCompensated: Bool

    /// Describes outliers.
    ///
    /// - Precondition: The strength is finite and positive, the number of channels positive.
    public init(strength: Float, channels: Int = 4, isCompensated: Bool = false) {
        precondition(strength.isFinite && strength > 0 && channels > 0, "SyntheticOutliers: out of range")
        (self.strength, self.channels, self.isCompensated) = (strength, channels, isCompensated)
    }

    /// The factors by which the rows and the columns of a tensor are multiplied; empty if all are 1.
    func factors(_ tensor: SafeTensorsWriter.Tensor) -> (rows: [Float], columns: [Float]) {
        let (name, layout) = (tensor.name, CheckpointLayout())
        let columns = tensor.shape.count > 1 ? tensor.shape[1] : 0
        if name.hasSuffix("layernorm.weight") || name == layout.prefix + layout.finalNorm {
            return (spread(tensor.shape[0], strength), [])
        }
        if name.hasSuffix(BlockTensor.up.rawValue) {
            return (spread(tensor.shape[0], strength), isCompensated ? spread(columns, 1 / strength) : [])
        }
        guard isCompensated else { return ([], []) }
        let reads =
            [BlockTensor.query, .key, .value, .gate, .down].contains { name.hasSuffix($0.rawValue) }
            || name == layout.head
        return ([], reads ? spread(columns, 1 / strength) : [])
    }

    /// Factors for `count` channels: `factor` in the outlying ones, 1 in the others.
    private func spread(_ count: Int, _ factor: Float) -> [Float] {
        var factors = [Float](repeating: 1, count: count)
        // An odd step, so that no two of them are in one group of inputs, if there are enough groups.
        for i in 0..<min(channels, count) { factors[(17 + i * (count / channels | 1)) % count] = factor }
        return factors
    }
}

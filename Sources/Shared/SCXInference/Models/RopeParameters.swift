/// How rotary position embeddings stretch beyond the length that a model was trained on.
///
/// Names and meanings are those of `rope_scaling` (or `rope_parameters`) in a Hugging Face `config.json`.
public enum RopeScaling: Equatable, Sendable {
    case none
    /// Divides every frequency by `factor`.
    case linear(factor: Float)
    /// Raises the base once a sequence is longer than `originalLength` ("NTK-aware").
    case dynamic(factor: Float, originalLength: Int)
    /// Llama 3.1: divides low frequencies by `factor`, keeps high ones and blends between.
    case llama3(factor: Float, lowFrequencyFactor: Float, highFrequencyFactor: Float, originalLength: Int)
    /// YaRN: the same idea with a linear ramp, and a factor on the attention's logits.
    ///
    /// A nil `attentionFactor` follows from `factor`, and from both `mscale`s where both are there. `truncate`
    /// rounds the ends of the ramp to whole channels.
    case yarn(
        factor: Float, originalLength: Int, betaFast: Float, betaSlow: Float, attentionFactor: Float?,
        mscale: Float?, mscaleAllDim: Float?, truncate: Bool)
}

/// The rotary position embedding of a model.
public struct RopeParameters: Equatable, Sendable {
    /// Wavelengths grow from 2π to 2π · `base`.
    public var base: Float
    /// Channels of a head that turn, from the first; the others stay as they are.
    public var rotaryDimension: Int
    public var scaling: RopeScaling

    public init(base: Float, rotaryDimension: Int, scaling: RopeScaling = .none) {
        self.base = base
        self.rotaryDimension = rotaryDimension
        self.scaling = scaling
    }
}

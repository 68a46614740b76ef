#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How a model stretches its rotary embedding beyond the context with which it was trained.
public enum RopeScaling: Equatable, Sendable {
    case none
    /// All frequencies are divided by `factor`.
    case linear(factor: Double)
    /// The base grows with the sequence once it is longer than `originalLength` (NTK-aware).
    case dynamic(factor: Double, originalLength: Int)
    /// Low frequencies are divided by `factor`, high ones are kept, and there is a smooth transition between them.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalLength: Int)
    case yarn(Yarn)
    case long(Long)

    /// The parameters of LongRoPE.
    ///
    /// Ding and others 2024, "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens", section 3
    /// (<https://arxiv.org/abs/2402.13753>).
    public struct Long: Equatable, Sendable {
        /// By what each frequency is divided in sequences up to `originalLength`.
        public var short: [Float]
        /// By what each frequency is divided in longer ones.
        public var long: [Float]
        /// How many times longer than `originalLength` sequences may be.
        public var factor: Double
        public var originalLength: Int
        /// Factor of cosines and sines; nil derives it from `factor`.
        public var attentionFactor: Double?
    }

    /// The parameters of YaRN.
    ///
    /// Peng, Quesnelle, Fan and Shippole 2023, "YaRN: Efficient Context Window Extension of Large Language Models",
    /// section 3 (<https://arxiv.org/abs/2309.00071>).
    public struct Yarn: Equatable, Sendable {
        public var factor: Double
        public var originalLength: Int
        /// Factor of cosines and sines; nil derives it from the next two, or from `factor`.
        public var attentionFactor: Double?
        public var mscale: Double?
        public var mscaleAllDimensions: Double?
        /// Frequencies with more rotations than this over the original length are kept.
        public var betaFast: Double
        /// Frequencies with fewer rotations than this are divided by `factor`.
        public var betaSlow: Double
        /// Whether the ends of the transition are rounded outwards to whole channels.
        public var truncate: Bool

        public init(
            factor: Double, originalLength: Int, attentionFactor: Double? = nil, mscale: Double? = nil,
            mscaleAllDimensions: Double? = nil, betaFast: Double = 32, betaSlow: Double = 1,
            truncate: Bool = true
        ) {
            self.factor = factor
            self.originalLength = originalLength
            self.attentionFactor = attentionFactor
            self.mscale = mscale
            self.mscaleAllDimensions = mscaleAllDimensions
            self.betaFast = betaFast
            self.betaSlow = betaSlow
            self.truncate = truncate
        }
    }
}

/// What a model's configuration says about its rotary embedding.
public struct RopeParameters: Equatable, Sendable {
    /// The base of the frequencies, θ; `rope_theta` in configurations.
    public var base: Double
    /// How many channels of each head are rotated, from the first on; the other channels stay as they are.
    public var rotaryDimension: Int
    public var scaling: RopeScaling

    public init(base: Double = 10_000, rotaryDimension: Int, scaling: RopeScaling = .none) {
        self.base = base
        self.rotaryDimension = rotaryDimension
        self.scaling = scaling
    }
}

/// The rotary position embedding: pairs of channels are rotated by an angle that grows with the position.
///
/// Su and others 2021, "RoFormer", equation 34 (<https://arxiv.org/abs/2104.09864>). Channel i of the rotary
/// dimension is paired with channel i + dimension / 2 (the "rotate half" order in which Hugging Face checkpoints are
/// stored). Frequencies are computed in float32 in the order of operations of `modeling_rope_utils.py` in
/// transformers 5, since an error of one unit in the last place of a frequency is one of 1e-4 in the angle at
/// position 2,000.
public struct RotaryEmbedding: Equatable, Sendable {
    public let parameters: RopeParameters
    /// Factor of cosines and sines; it is 1 except for YaRN and LongRoPE.
    public let attentionFactor: Float
    // The frequencies for sequences within the trained length.
    private let inverseFrequencies: [Float]

    /// Computes the frequencies.
    ///
    /// - Precondition: The rotary dimension is positive and even.
    public init(_ parameters: RopeParameters) {
        let dimension = parameters.rotaryDimension
        precondition(dimension > 0 && dimension % 2 == 0, "RotaryEmbedding: odd dimension")
        self.parameters = parameters
        let plain = Self.frequencies(base: Float(parameters.base), dimension: dimension)
        switch parameters.scaling {
        case .none, .dynamic:
            inverseFrequencies = plain
            attentionFactor = 1
        case .linear(let factor):
            inverseFrequencies = plain.map { $0 / Float(factor) }
            attentionFactor = 1
        case .llama3(let factor, let low, let high, let length):
            inverseFrequencies = plain.map {
                Self.llama3($0, factor: factor, low: low, high: high, length: Double(length))
            }
            attentionFactor = 1
        case .yarn(let yarn):
            inverseFrequencies = Self.yarn(yarn, base: parameters.base, dimension: dimension)
            attentionFactor = Float(yarn.resolvedAttentionFactor)
        case .long(let scaling):
            inverseFrequencies = Self.long(scaling.short, base: parameters.base, dimension: dimension)
            attentionFactor = Float(scaling.resolvedAttentionFactor)
        }
    }

    /// The angle per position of each channel pair, for a forward pass over a sequence of `length` tokens.
    ///
    /// The length includes the tokens before the pass. Only dynamic scaling and LongRoPE depend on it.
    public func inverseFrequencies(length: Int) -> [Float] {
        if case .long(let scaling) = parameters.scaling, length > scaling.originalLength {
            return Self.long(scaling.long, base: parameters.base, dimension: parameters.rotaryDimension)
        }
        guard case .dynamic(let factor, let original) = parameters.scaling, length > original else {
            return inverseFrequencies
        }
        let dimension = Double(parameters.rotaryDimension)
        let stretch = Float(factor) * Float(length) / Float(original) - Float(factor - 1)
        let power = Float(pow(Double(stretch), Double(Float(dimension / (dimension - 2)))))
        return Self.frequencies(base: Float(parameters.base) * power, dimension: parameters.rotaryDimension)
    }

    /// `base^(2i / dimension)` for each channel pair i.
    private static func powers(base: Float, dimension: Int) -> [Float] {
        (0..<dimension / 2).map { i in
            Float(pow(Double(base), Double(Float(2 * i) / Float(dimension))))
        }
    }

    private static func frequencies(base: Float, dimension: Int) -> [Float] {
        powers(base: base, dimension: dimension).map { 1 / $0 }
    }

    private static func long(_ factors: [Float], base: Double, dimension: Int) -> [Float] {
        zip(factors, powers(base: Float(base), dimension: dimension)).map { 1 / ($0 * $1) }
    }

    private static func llama3(
        _ frequency: Float, factor: Double, low: Double, high: Double, length: Double
    ) -> Float {
        let wavelength = Float(2 * Double.pi) / frequency
        if wavelength < Float(length / high) { return frequency }
        if wavelength > Float(length / low) { return frequency / Float(factor) }
        let smooth = (Float(length) / wavelength - Float(low)) / Float(high - low)
        return (1 - smooth) * frequency / Float(factor) + smooth * frequency
    }

    private static func yarn(_ yarn: RopeScaling.Yarn, base: Double, dimension: Int) -> [Float] {
        // The channel pair that makes `rotations` full rotations over the original length.
        func channel(_ rotations: Double) -> Double {
            Double(dimension) * log(Double(yarn.originalLength) / (rotations * 2 * .pi)) / (2 * log(base))
        }
        var (low, high) = (channel(yarn.betaFast), channel(yarn.betaSlow))
        if yarn.truncate { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, Double(dimension - 1)))
        if low == high { high += 0.001 }
        return powers(base: Float(base), dimension: dimension).enumerated().map { i, power in
            let ramp = min(max((Float(i) - Float(low)) / Float(high - low), 0), 1)
            let kept = 1 - ramp
            return 1 / (Float(yarn.factor) * power) * (1 - kept) + 1 / power * kept
        }
    }
}

extension RopeScaling.Long {
    fileprivate var resolvedAttentionFactor: Double {
        if let attentionFactor { return attentionFactor }
        return factor <= 1 ? 1 : (1 + log(factor) / log(Double(originalLength))).squareRoot()
    }
}

extension RopeScaling.Yarn {
    /// The factor of queries and keys that belongs to a longer context.
    func magnitude(_ mscale: Double) -> Double { factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1 }

    fileprivate var resolvedAttentionFactor: Double {
        if let attentionFactor { return attentionFactor }
        if let mscale, let mscaleAllDimensions, mscale != 0, mscaleAllDimensions != 0 {
            return magnitude(mscale) / magnitude(mscaleAllDimensions)
        }
        return magnitude(1)
    }
}

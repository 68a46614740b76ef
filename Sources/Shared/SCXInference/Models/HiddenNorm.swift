/// A norm of hidden states with its weights; without weights it leaves its input as it is.
public struct HiddenNorm: Sendable {
    /// `[hiddenSize]`, or empty where the model has no norm at this place.
    public let weight: [Float]
    /// `[hiddenSize]`, or empty.
    public let bias: [Float]
    let kind: DecoderConfiguration.NormKind
    let epsilon: Float

    init(_ configuration: DecoderConfiguration, weight: [Float], bias: [Float] = []) {
        (self.weight, self.bias) = (weight, bias)
        (kind, epsilon) = (configuration.norm, configuration.normEpsilon)
    }

    /// Reads the norm after the last block.
    ///
    /// - Throws: ``CheckpointError`` when a tensor is missing or has another shape than the configuration says.
    public init(final checkpoint: Checkpoint) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        try self.init(
            checkpoint,
            configuration.hasFinalNorm
                ? (configuration.finalNormName, configuration.finalNormBiasName) : nil)
    }

    /// Reads the norm of embedded tokens.
    ///
    /// - Throws: As ``init(final:)``.
    public init(embedding checkpoint: Checkpoint) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        try self.init(
            checkpoint,
            configuration.normsEmbedding
                ? (configuration.embeddingNormName, configuration.embeddingNormBiasName) : nil)
    }

    /// Reads the norm whose tensors have these names; nil for none.
    private init(
        _ checkpoint: Checkpoint, _ names: (weight: String, bias: String)?
    ) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        guard let names else {
            self.init(configuration, weight: [])
            return
        }
        let shape = [configuration.hiddenSize]
        var bias: [Float] = []
        if configuration.norm == .layer(bias: true) {
            bias = try checkpoint.tensor(names.bias, shape: shape).values()
        }
        let stored = try checkpoint.tensor(names.weight, shape: shape)
        self.init(configuration, weight: stored.values().map { $0 + configuration.normOffset }, bias: bias)
    }

    /// Norms each row.
    ///
    /// - Parameters:
    ///   - x: `[tokens, hiddenSize]`, row-major.
    ///   - out: Receives as many rows.
    ///   - pool: Threads that share many rows.
    /// - Precondition: `x` are whole rows, and `out` is as long.
    public func apply(_ x: Span<Float>, into out: inout MutableSpan<Float>, pool: ThreadPool? = nil) {
        guard !weight.isEmpty else {
            precondition(out.count == x.count, "HiddenNorm: out has another size")
            for i in x.indices { out[i] = x[i] }
            return
        }
        switch kind {
        case .rootMeanSquare:
            rmsNorm(x, weight: weight.span, epsilon: epsilon, into: &out, pool: pool)
        case .layer:
            guard !bias.isEmpty else {
                layerNorm(x, weight: weight.span, bias: nil, epsilon: epsilon, into: &out, pool: pool)
                return
            }
            layerNorm(x, weight: weight.span, bias: bias.span, epsilon: epsilon, into: &out, pool: pool)
        }
    }

    /// Norms each row in place.
    ///
    /// - Precondition: As ``apply(_:into:pool:)``.
    public func apply(to x: inout MutableSpan<Float>, pool: ThreadPool?) {
        guard !weight.isEmpty else { return }
        switch kind {
        case .rootMeanSquare:
            rmsNorm(
                &x, rows: x.count / weight.count, weight: weight.span, epsilon: epsilon, pool: pool)
        case .layer:
            let copy = floats(x.count) { out in for i in x.indices { out[i] = x[i] } }
            apply(copy.span, into: &x, pool: pool)
        }
    }
}

import CSCXKernels

/// The activation function of a feed-forward network, by its name in configurations.
public enum Activation: String, Sendable {
    /// `x / (1 + e^(−x))`.
    case silu
    /// `x · Φ(x)`, with the distribution function of the normal distribution.
    case gelu
    /// The approximation of ``gelu`` by tanh: `0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`.
    case geluTanh = "gelu_pytorch_tanh"
    /// The approximation of ``gelu`` by a sigmoid: `x / (1 + e^(−1.702 · x))`.
    case quickGelu = "quick_gelu"
    /// `max(x, 0)`.
    case relu

    /// The slope of ``quickGelu``, which is silu(slope · x) / slope.
    static let quickSlope: Float = 1.702

    var c: cscx_activation {
        switch self {
        case .silu, .quickGelu: cscx_silu
        case .gelu: cscx_gelu
        case .geluTanh: cscx_gelu_tanh
        case .relu: cscx_relu
        }
    }
}

/// Applies an activation function: `out[t, f] = act(x[t, f])`, when gated times `x[t, F + f]`.
///
/// Gated activations are those of Shazeer 2020, "GLU Variants Improve Transformer", equations 5 and 6
/// (<https://arxiv.org/abs/2002.05202>).
///
/// - Parameters:
///   - x: `[tokens, F]`, row-major; when gated the gate and up projections side by side, `[tokens, 2F]`.
///   - activation: The function.
///   - isGated: Whether the result is multiplied by the second half of the row.
///   - out: Result, `[tokens, F]`, overwritten.
///   - features: F.
///   - pool: Threads that share many rows.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: `x` holds whole rows, and `out` as many.
/// - Note: Relative error about 2⁻²¹, except for ``Activation/geluTanh`` far below zero, where the absolute error is
///   about 2⁻²² of |x|.
public func activate(
    _ x: Span<Float>, _ activation: Activation, isGated: Bool, into out: inout MutableSpan<Float>,
    features: Int,
    pool: ThreadPool? = nil, on isa: InstructionSet = .detected
) {
    let width = isGated ? 2 * features : features
    precondition(features > 0 && x.count % width == 0, "activate: x is not whole rows")
    precondition(out.count == x.count / width * features, "activate: out is not tokens x F")
    if activation == .quickGelu {
        // Only what goes through the function is scaled, not what the result is multiplied by.
        let scaled = floats(x.count) { scaled in
            for i in x.indices {
                scaled[i] = i % width < features ? x[i] * Activation.quickSlope : x[i]
            }
        }
        activate(
            scaled.span, .silu, isGated: isGated, into: &out, features: features, pool: pool, on: isa)
        for i in out.indices { out[i] /= Activation.quickSlope }
        return
    }
    unsafe x.withUnsafeBufferPointer { x in
        unsafe out.withUnsafeMutableBufferPointer { out in
            guard let from = x.baseAddress, let to = out.baseAddress else { return }
            forRows(out.count / features, of: 3 * features, pool: pool) { rows in
                unsafe cscx_activate(
                    isa.c, activation.c, isGated, from + rows.lowerBound * width,
                    to + rows.lowerBound * features, rows.count, features)
            }
        }
    }
}

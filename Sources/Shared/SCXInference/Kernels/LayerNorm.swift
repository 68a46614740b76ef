import CSCXKernels

/// Brings each row to mean 0 and variance 1, then scales and shifts:
/// `out[t, c] = (x[t, c] − μ_t) / √(mean_c((x[t, c] − μ_t)²) + ε) · weight[c] + bias[c]`, with μ_t the row's mean.
///
/// Ba, Kiros and Hinton 2016, "Layer Normalization", equation 3 (<https://arxiv.org/abs/1607.06450>).
///
/// - Parameters:
///   - x: Activations, `[tokens, channels]`, row-major.
///   - weight: Gain, `[channels]`.
///   - bias: Shift, `[channels]`; nil for none.
///   - epsilon: ε, added to the variance.
///   - out: Result, `[tokens, channels]`, overwritten.
///   - pool: Threads that share many rows.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: `x.count` is a multiple of `weight.count`, which is not zero; `out` is as large.
///   `bias`, if any, is as large as `weight`.
/// - Note: The variance is taken about the mean in a second pass. Sums are float32 in at least 8 partial sums.
public func layerNorm(
    _ x: Span<Float>, weight: Span<Float>, bias: Span<Float>?, epsilon: Float,
    into out: inout MutableSpan<Float>,
    pool: ThreadPool? = nil, on isa: InstructionSet = .detected
) {
    let channels = weight.count
    precondition(channels > 0 && x.count % channels == 0, "layerNorm: x is not tokens x channels")
    precondition(out.count == x.count, "layerNorm: out has another size")
    if let bias { precondition(bias.count == channels, "layerNorm: bias is not channels long") }
    unsafe weight.withUnsafeBufferPointer { weight in
        unsafe x.withUnsafeBufferPointer { x in
            unsafe out.withUnsafeMutableBufferPointer { out in
                guard let from = x.baseAddress, let to = out.baseAddress else { return }
                let run = { (bias: UnsafePointer<Float>?) in
                    forRows(x.count / channels, of: channels, pool: pool) { rows in
                        let first = rows.lowerBound * channels
                        unsafe cscx_layer_norm(
                            isa.c, from + first, channels, to + first, channels, rows.count, channels,
                            weight.baseAddress, bias, epsilon)
                    }
                }
                if let bias {
                    unsafe bias.withUnsafeBufferPointer { unsafe run($0.baseAddress) }
                } else {
                    run(nil)
                }
            }
        }
    }
}

import CSCXKernels

/// The gated activation of a feed-forward layer: `out[t, f] = silu(gateUp[t, f]) · gateUp[t, F + f]`, `silu(x) = x / (1 + e^(−x))`.
///
/// Shazeer 2020, "GLU Variants Improve Transformer", equation 6 (<https://arxiv.org/abs/2002.05202>).
///
/// - Parameters:
///   - gateUp: Gate and up projections side by side, `[tokens, 2F]`, row-major.
///   - out: Result, `[tokens, F]`, overwritten.
///   - features: F.
///   - pool: Threads that share many rows.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: `gateUp` holds whole rows, and `out` half as many numbers.
/// - Note: Relative error about 2⁻²¹.
public func siluMultiply(
    _ gateUp: Span<Float>, into out: inout MutableSpan<Float>, features: Int, pool: ThreadPool? = nil,
    on isa: InstructionSet = .detected
) {
    precondition(
        features > 0 && gateUp.count % (2 * features) == 0, "siluMultiply: gateUp is not tokens x 2F")
    precondition(out.count == gateUp.count / 2, "siluMultiply: out is not tokens x F")
    unsafe gateUp.withUnsafeBufferPointer { gateUp in
        unsafe out.withUnsafeMutableBufferPointer { out in
            guard let from = gateUp.baseAddress, let to = out.baseAddress else { return }
            forRows(out.count / features, of: 3 * features, pool: pool) { rows in
                unsafe cscx_silu_multiply(
                    isa.c, from + rows.lowerBound * 2 * features, to + rows.lowerBound * features, rows.count,
                    features)
            }
        }
    }
}

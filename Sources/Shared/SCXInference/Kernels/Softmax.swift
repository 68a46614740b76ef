import CSCXKernels

/// Turns a row into its softmax: `x[i] = e^(x[i] − max x) / Σ_j e^(x[j] − max x)`.
///
/// - Precondition: `x` is not empty. Entries of −infinity get 0; with nothing else, or with NaN, the result is NaN.
/// - Note: Terms are within 3 ulp, blocks of 1,024 are summed in float32, the blocks' sums in double.
public func softmax(_ x: inout MutableSpan<Float>, on isa: InstructionSet = .detected) {
    precondition(x.count > 0, "softmax: empty row")
    unsafe x.withUnsafeMutableBufferPointer { x in
        unsafe cscx_softmax(isa.c, x.baseAddress, x.count)
    }
}

/// The logarithm of the sum of exponentials, `log Σ_i e^x[i]`, without overflow: `x[i]` minus it is a log-probability.
///
/// - Precondition: `x` is not empty.
/// - Note: Absolute error about 2⁻²² plus one rounding of the result.
public func logSumExp(_ x: Span<Float>, on isa: InstructionSet = .detected) -> Float {
    precondition(x.count > 0, "logSumExp: empty row")
    return unsafe x.withUnsafeBufferPointer { x in
        unsafe cscx_log_sum_exp(isa.c, x.baseAddress, x.count)
    }
}

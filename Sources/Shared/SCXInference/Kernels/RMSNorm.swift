import CSCXKernels

/// Divides each row by its root mean square, then scales by `weight`:
/// `x[t, g, c] = x[t, g, c] / √(mean_c(x[t, g, c]²) + ε) · weight[c]`.
///
/// Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4 (<https://arxiv.org/abs/1910.07467>);
/// as in Llama, ε is inside the root. With `groups` above 1 it is the norm that Qwen3 applies to each head of the
/// queries and keys, in place in a fused row.
///
/// - Parameters:
///   - x: Activations; row t's first group begins at `offset + t · stride`.
///   - offset: Where the first row begins.
///   - stride: Floats from one row to the next; nil when rows are adjacent.
///   - rows: Number of rows.
///   - groups: Adjacent groups of `weight.count` channels in a row, each normalised on its own.
///   - weight: Gain, `[channels]`.
///   - epsilon: ε, added to the mean square; from the model's `rms_norm_eps`, typically 1e-5.
///   - pool: Threads that share many rows.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: `weight` is not empty and the rows lie within `x`.
/// - Note: Squares are summed in float32 in at least 16 partial sums; relative error below `channels · 2⁻²⁸ + 2⁻²²`.
public func rmsNorm(
    _ x: inout MutableSpan<Float>, offset: Int = 0, stride: Int? = nil, rows: Int, groups: Int = 1,
    weight: Span<Float>, epsilon: Float, pool: ThreadPool? = nil, on isa: InstructionSet = .detected
) {
    let channels = weight.count
    let stride = stride ?? groups * channels
    checkRows(x.count, offset: offset, stride: stride, rows: rows, width: groups * channels, "rmsNorm: x")
    unsafe weight.withUnsafeBufferPointer { weight in
        unsafe x.withUnsafeMutableBufferPointer { x in
            guard let start = x.baseAddress else { return }
            forRows(rows, of: groups * channels, pool: pool) { rows in
                let first = unsafe start + offset + rows.lowerBound * stride
                unsafe cscx_rms_norm(
                    isa.c, first, stride, first, stride, rows.count, groups, channels, weight.baseAddress,
                    epsilon)
            }
        }
    }
}

/// Normalises adjacent rows into other memory: `out[t, c] = x[t, c] / √(mean_c(x[t, c]²) + ε) · weight[c]`.
///
/// - Parameters:
///   - x: Activations, `[tokens, channels]`, row-major.
///   - weight: Gain, `[channels]`.
///   - epsilon: ε, added to the mean square.
///   - out: Result, `[tokens, channels]`, overwritten.
///   - pool: Threads that share many rows.
///   - isa: Instruction set; tests pass each available one.
/// - Precondition: `x.count` is a multiple of `weight.count`, which is not zero, and `out` is as large.
public func rmsNorm(
    _ x: Span<Float>, weight: Span<Float>, epsilon: Float, into out: inout MutableSpan<Float>,
    pool: ThreadPool? = nil, on isa: InstructionSet = .detected
) {
    let channels = weight.count
    precondition(channels > 0 && x.count % channels == 0, "rmsNorm: x is not tokens x channels")
    precondition(out.count == x.count, "rmsNorm: out has another size")
    unsafe weight.withUnsafeBufferPointer { weight in
        unsafe x.withUnsafeBufferPointer { x in
            unsafe out.withUnsafeMutableBufferPointer { out in
                guard let from = x.baseAddress, let to = out.baseAddress else { return }
                forRows(x.count / channels, of: channels, pool: pool) { rows in
                    let first = rows.lowerBound * channels
                    unsafe cscx_rms_norm(
                        isa.c, from + first, channels, to + first, channels, rows.count, 1, channels,
                        weight.baseAddress, epsilon)
                }
            }
        }
    }
}

/// Stops the process unless `rows` rows of `width` floats, `stride` apart from `offset` on, are within `count`
/// floats.
func checkRows(_ count: Int, offset: Int, stride: Int, rows: Int, width: Int, _ what: StaticString) {
    precondition(
        rows >= 0 && width > 0 && offset >= 0 && stride >= width
            && (rows == 0 || offset + (rows - 1) * stride + width <= count), "\(what) does not hold the rows")
}

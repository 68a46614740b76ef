import CSCXKernels

/// Adds a residual: `x[i] += y[i]`.
///
/// - Precondition: The counts are equal.
public func add(_ y: Span<Float>, into x: inout MutableSpan<Float>, on isa: InstructionSet = .detected) {
    precondition(x.count == y.count, "add: counts differ")
    unsafe y.withUnsafeBufferPointer { y in
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe cscx_add(isa.c, x.baseAddress, y.baseAddress, y.count)
        }
    }
}

/// The exponential of each number: `out[i] = e^x[i]`.
///
/// The error is at most 2 units in the last place. The result is 0 where it would be below 1.9e-38, infinity above
/// float32's range, and NaN for NaN.
///
/// - Precondition: The counts are equal.
public func exp(_ x: Span<Float>, into out: inout MutableSpan<Float>, on isa: InstructionSet = .detected) {
    precondition(x.count == out.count, "exp: counts differ")
    unsafe x.withUnsafeBufferPointer { x in
        unsafe out.withUnsafeMutableBufferPointer { out in
            unsafe cscx_exp(isa.c, x.baseAddress, out.baseAddress, x.count)
        }
    }
}

/// Divides rows among the threads of a pool if there is enough work to be worth it.
///
/// - Parameters:
///   - rows: Number of rows.
///   - width: Floats that are read or written per row.
///   - pool: The threads; nil runs everything on the calling one.
///   - body: Computes a range of rows, on any thread.
func forRows(_ rows: Int, of width: Int, pool: ThreadPool?, _ body: (_ rows: Range<Int>) -> Void) {
    // 16,384 floats take about 5 µs, a few times what waking a thread costs.
    let blocks = min(rows, (pool?.threads ?? 1) * 4, rows * width / 16_384)
    guard let pool, pool.threads > 1, blocks > 1 else { return body(0..<rows) }
    pool.run(blocks) { block in body(rows * block / blocks..<rows * (block + 1) / blocks) }
}

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

/// The exponential of every number: `out[i] = e^x[i]`.
///
/// Within 2 units in the last place; 0 where the result is below 1.9e-38, infinity above float32's range, NaN for NaN.
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

/// Shares rows among the threads of a pool where there is enough work to pay for it.
///
/// - Parameters:
///   - rows: Number of rows.
///   - width: Floats touched per row.
///   - pool: The threads; nil runs everything here.
///   - body: Works on a range of rows, on any thread.
func forRows(_ rows: Int, of width: Int, pool: ThreadPool?, _ body: (_ rows: Range<Int>) -> Void) {
    // 16,384 floats take about 5 µs, some times what a hand-over costs.
    let blocks = min(rows, (pool?.threads ?? 1) * 4, rows * width / 16_384)
    guard let pool, pool.threads > 1, blocks > 1 else { return body(0..<rows) }
    pool.run(blocks) { block in body(rows * block / blocks..<rows * (block + 1) / blocks) }
}

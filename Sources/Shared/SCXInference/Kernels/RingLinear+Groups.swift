/// Multiplies by several matrices modulo 2³², each of which has channels of its own:
/// `y[t, g · R + r] = Σ_c z[t, g · C + c] · w_g[r, c] mod 2³²`.
///
/// That is the product with one matrix that has these on its diagonal and zeros elsewhere.
///
/// - Parameters:
///   - z: Factors, `[tokens, groups · columns]`, row-major.
///   - w: Weights in ring form, `[rows, columns]` each.
///   - y: Result, `[tokens, groups · rows]`, row-major, overwritten.
///   - tokens: Rows of `z`.
///   - pool: Threads that share the work.
/// - Precondition: The matrices have one shape and are in ring form, and the counts fit.
/// - Complexity: As ``ringLinear(_:_:into:tokens:pool:on:)``; all weights are read, whatever the factors are.
public func ringLinear(
    _ z: Span<UInt32>, _ w: [PackedMatrix], into y: inout MutableSpan<UInt32>, tokens: Int, pool: ThreadPool
) {
    let (rows, columns, groups) = (w[0].rows, w[0].columns, w.count)
    guard groups > 1 else { return ringLinear(z, w[0], into: &y, tokens: tokens, pool: pool) }
    precondition(
        w.allSatisfy { $0.rows == rows && $0.columns == columns }, "ringLinear: matrices of other shapes")
    precondition(
        z.count == tokens * groups * columns && y.count == tokens * groups * rows,
        "ringLinear: not tokens x groups")
    unsafe y.withUnsafeMutableBufferPointer { y in
        func multiply(_ group: Int) {
            // The channels of a group are adjacent in one row alone.
            guard tokens > 1 else {
                var out = unsafe MutableSpan(_unsafeElements: y.extracting(group * rows..<(group + 1) * rows))
                ringLinear(
                    z.extracting(group * columns..<(group + 1) * columns), w[group], into: &out, tokens: 1,
                    pool: pool)
                return
            }
            let x: [UInt32] = filled(tokens * columns) { x in
                for t in 0..<tokens {
                    let first = (t * groups + group) * columns
                    for c in 0..<columns { x[t * columns + c] = z[first + c] }
                }
            }
            let product: [UInt32] = filled(tokens * rows) { out in
                ringLinear(x.span, w[group], into: &out, tokens: tokens, pool: pool)
            }
            for t in 0..<tokens {
                // No two groups share an element.
                let first = (t * groups + group) * rows
                for r in 0..<rows { unsafe y[first + r] = product[t * rows + r] }
            }
        }
        // With many groups each thread multiplies whole groups; a product within this one then runs on its thread alone.
        if groups >= 2 * pool.threads { pool.run(groups, multiply) } else { (0..<groups).forEach(multiply) }
    }
}

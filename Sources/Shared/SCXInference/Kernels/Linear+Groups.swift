/// Multiplies by several matrices, each of which has channels of its own:
/// `y[t, g · R + r] = Σ_c x[t, g · C + c] · w_g[r, c]`.
///
/// - Parameters:
///   - x: Activations, `[tokens, groups · columns]`, row-major.
///   - w: Weights, `[rows, columns]` each.
///   - y: Result, `[tokens, groups · rows]`, row-major, overwritten.
///   - tokens: Rows of `x`.
///   - pool: Threads that share the work.
/// - Precondition: The matrices have one shape, and the counts fit.
public func linear(
    _ x: Span<Float>, _ w: [PackedMatrix], into y: inout MutableSpan<Float>, tokens: Int, pool: ThreadPool
) {
    let (rows, columns, groups) = (w[0].rows, w[0].columns, w.count)
    precondition(
        w.allSatisfy { $0.rows == rows && $0.columns == columns }, "linear: matrices of other shapes")
    precondition(
        x.count == tokens * groups * columns && y.count == tokens * groups * rows,
        "linear: not tokens x groups")
    unsafe y.withUnsafeMutableBufferPointer { y in
        func multiply(_ group: Int) {
            let own = floats(tokens * columns) { own in
                for t in 0..<tokens {
                    let first = (t * groups + group) * columns
                    for c in 0..<columns { own[t * columns + c] = x[first + c] }
                }
            }
            let product = floats(tokens * rows) { out in
                linear(own.span, w[group], into: &out, tokens: tokens, pool: pool)
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

/// Multiplies by several matrices, each of which has channels of its own:
/// `y[t, g · R + r] = Σ_c x[t, g · C + c] · w_g[r, c]`.
///
/// That is the product with one matrix that has these on its diagonal and zeros elsewhere.
///
/// - Parameters:
///   - x: Activations, `[tokens, groups · columns]`, row-major.
///   - w: Weights, `[rows, columns]` each.
///   - y: Result, `[tokens, groups · rows]`, row-major, overwritten.
///   - tokens: Rows of `x`.
///   - pool: Threads that share the work.
/// - Precondition: The matrices have one shape, and the counts fit.
/// - Complexity: As that of one matrix of as many weights; all weights are read, whatever the activations are.
public func linear(
    _ x: Span<Float>, _ w: [PackedMatrix], into y: inout MutableSpan<Float>, tokens: Int, pool: ThreadPool
) {
    multiply(x, w, into: &y, tokens: tokens, pool: pool) { x, w, y in
        linear(x, w, into: &y, tokens: tokens, pool: pool)
    }
}

/// Multiplies by several matrices modulo 2³², each of which has channels of its own:
/// `y[t, g · R + r] = Σ_c z[t, g · C + c] · w_g[r, c] mod 2³²`.
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
    multiply(z, w, into: &y, tokens: tokens, pool: pool) { z, w, y in
        ringLinear(z, w, into: &y, tokens: tokens, pool: pool)
    }
}

/// Multiplies the channels of each group by its matrix, with a product of one matrix.
private func multiply<Element: BitwiseCopyable>(
    _ x: Span<Element>, _ w: [PackedMatrix], into y: inout MutableSpan<Element>, tokens: Int,
    pool: ThreadPool, by product: (Span<Element>, PackedMatrix, inout MutableSpan<Element>) -> Void
) {
    let (rows, columns, groups) = (w[0].rows, w[0].columns, w.count)
    guard groups > 1 else { return product(x, w[0], &y) }
    precondition(
        w.allSatisfy { $0.rows == rows && $0.columns == columns }, "linear: matrices of other shapes")
    precondition(
        x.count == tokens * groups * columns && y.count == tokens * groups * rows,
        "linear: not tokens x groups")
    unsafe y.withUnsafeMutableBufferPointer { y in
        func multiply(_ group: Int) {
            // The channels of a group are adjacent in one row alone.
            guard tokens > 1 else {
                var out = unsafe MutableSpan(_unsafeElements: y.extracting(group * rows..<(group + 1) * rows))
                return product(x.extracting(group * columns..<(group + 1) * columns), w[group], &out)
            }
            let own: [Element] = filled(tokens * columns) { own in
                for t in 0..<tokens {
                    let first = (t * groups + group) * columns
                    for c in 0..<columns { own[t * columns + c] = x[first + c] }
                }
            }
            let result: [Element] = filled(tokens * rows) { product(own.span, w[group], &$0) }
            for t in 0..<tokens {
                // No two groups share an element.
                let first = (t * groups + group) * rows
                for r in 0..<rows { unsafe y[first + r] = result[t * rows + r] }
            }
        }
        // With many groups each thread multiplies whole groups; a product within this one then runs on its thread alone.
        if groups >= 2 * pool.threads { pool.run(groups, multiply) } else { (0..<groups).forEach(multiply) }
    }
}

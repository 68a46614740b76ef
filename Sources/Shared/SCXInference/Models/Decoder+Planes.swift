/// Weights of twice the precision of int8, for models whose results are compared with each other: a second matrix holds
/// what the rounding to the first one left.
///
/// A site then has the rows of both matrices, first those of the rounded weights and then those of the rests, and an
/// output is the sum of its two rows' products.
extension DecoderConfiguration {
    /// How many int8 matrices together hold the weights of a site.
    ///
    /// Vectors of texts are compared by small differences, so that a relative error of the weights of 2⁻⁸ changes which
    /// text is nearest; where tokens are chosen one after the other, it does not.
    public var ringPlanes: Int { isCausal ? 1 : 2 }

    /// How many channels the rows of a site's ring product have.
    public func ringOutputs(of site: DecoderSite) -> Int { owner(of: site).ringPlanes * outputs(of: site) }
}

extension PackedMatrix {
    /// Packs rows of float32, less what another matrix holds of them.
    ///
    /// - Parameters:
    ///   - exact: The rows in float32.
    ///   - rounded: The same rows in another format.
    ///   - row: Where the first of them is packed.
    ///   - pool: Threads that share the work.
    /// - Precondition: Both have as many rows and columns, and the rows exist here.
    func pack(restOf exact: PackedMatrix, in rounded: PackedMatrix, at row: Int, pool: ThreadPool) {
        precondition(
            exact.rows == rounded.rows && exact.columns == columns && rounded.columns == columns,
            "PackedMatrix: rows of two matrices")
        var (whole, held) = ([Float](repeating: 0, count: columns), [Float](repeating: 0, count: columns))
        var rest = [Float](repeating: 0, count: exact.rows * columns)
        for r in 0..<exact.rows {
            var span = whole.mutableSpan
            exact.dequantize(row: r, into: &span)
            span = held.mutableSpan
            rounded.dequantize(row: r, into: &span)
            for c in 0..<columns { rest[r * columns + c] = whole[c] - held[c] }
        }
        unsafe rest.withUnsafeBytes {
            unsafe pack($0, as: .f32, firstRow: row, count: exact.rows, pool: pool)
        }
    }
}

extension Decoder.LinearSite {
    /// Multiplies rows by the weights and adds the bias; the products of both planes of a site of two are added.
    ///
    /// - Parameters:
    ///   - x: `[tokens, inputs]`
    ///   - out: Receives `[tokens, outputs]`.
    ///   - pool: Threads that share the work.
    func multiply(_ x: Span<Float>, into out: inout MutableSpan<Float>, pool: ThreadPool) {
        let tokens = x.count / inputs
        guard groups.count == 1 else {
            precondition(bias.isEmpty, "Decoder: biases of several matrices")
            return linear(x, groups, into: &out, tokens: tokens, pool: pool)
        }
        guard planes > 1 else {
            linear(x, weights, bias: bias.span, into: &out, tokens: tokens, pool: pool)
            return
        }
        let wide = floats(tokens * weights.rows) {
            linear(x, weights, bias: bias.span, into: &$0, tokens: tokens, pool: pool)
        }
        precondition(out.count == tokens * outputs, "Decoder: out is not tokens x outputs")
        for t in 0..<tokens {
            for j in 0..<outputs {
                out[t * outputs + j] = wide[2 * t * outputs + j] + wide[(2 * t + 1) * outputs + j]
            }
        }
    }
}

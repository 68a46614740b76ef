/// Products of rows that carry noise, from which the noise's product is taken afterwards.
extension Decoder {
    /// A copy of a site's weights for ``exactProduct(_:_:)``: in float32, rounded a little so that sums are exact.
    ///
    /// - Throws: ``KernelError`` when there is no memory for it.
    /// - Precondition: The site was loaded.
    public func exactWeights(of site: DecoderSite) throws(KernelError) -> PackedMatrix {
        try weights(site).weights.roundedForExactSums(pool: pool)
    }

    /// Multiplies rows by weights in float64, without the site's bias; see ``exactLinear(_:_:into:tokens:pool:on:)``.
    ///
    /// - Parameters:
    ///   - rows: `[tokens, inputs]`, row-major.
    ///   - weights: From ``exactWeights(of:)``.
    /// - Returns: `[tokens, outputs]`, row-major.
    /// - Precondition: `rows` are whole rows.
    public func exactProduct(_ rows: Span<Float>, _ weights: PackedMatrix) -> [Double] {
        let tokens = rows.count / weights.columns
        return filled(tokens * weights.rows) { out in
            exactLinear(rows, weights, into: &out, tokens: tokens, pool: pool)
        }
    }

    /// Adds a site's bias, if it has one, to its products.
    ///
    /// - Parameters:
    ///   - site: The site.
    ///   - rows: `[tokens, outputs]`, row-major, changed in place.
    /// - Precondition: The site was loaded and `rows` are whole rows.
    public func addBias(of site: DecoderSite, to rows: inout MutableSpan<Float>) {
        let bias = weights(site).bias
        guard !bias.isEmpty else { return }
        precondition(rows.count % bias.count == 0, "Decoder: not whole rows")
        for row in stride(from: 0, to: rows.count, by: bias.count) {
            for i in bias.indices { rows[row + i] += bias[i] }
        }
    }
}

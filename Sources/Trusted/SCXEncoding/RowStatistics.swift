package import SCXInference

/// What the rows at one place of a model look like, so that redundant rows can be drawn that look similar.
///
/// A drawn row is μ + Σ_k z_k f_k with z standard normal, scaled to a norm that a real row had. The f are deviations
/// of real rows from their mean μ, scaled so that each channel has the variance of the real rows. So drawn rows agree
/// with real ones in the mean and the variance of each channel, in the covariances that the deviations span, and in
/// their norms; they do not equal any single real row.
package struct RowStatistics: Sendable {
    /// How many deviations a drawn row is a sum of.
    package static let factorCount = 24
    /// The fewest rows that a measurement needs.
    package static let fewestRows = 2 * factorCount
    /// How many quantiles of the norms are stored.
    package static let normCount = 33

    /// Channels of a row.
    package let channels: Int
    /// The mean row, `[channels]`.
    package let mean: [Float]
    /// The deviations, `[factorCount, channels]`.
    package let factors: [Float]
    /// Quantiles of the rows' norms, in rising order.
    package let norms: [Float]
    private let matrix: PackedMatrix

    /// Measures rows.
    ///
    /// Rows whose norm is more than three times the median are left out; a text has one such row, its first.
    ///
    /// - Parameters:
    ///   - rows: `[count, channels]`, row-major, at least ``fewestRows``.
    ///   - channels: Channels of a row.
    /// - Throws: ``KernelError`` when there is no memory.
    package init(measuring rows: Span<Float>, channels: Int) throws(KernelError) {
        let count = rows.count / channels
        precondition(channels > 0 && rows.count == count * channels, "RowStatistics: rows")
        precondition(count >= Self.fewestRows, "RowStatistics: too few rows")
        let lengths = (0..<count).map { row -> Float in
            var sum: Float = 0
            for c in row * channels..<(row + 1) * channels { sum += rows[c] * rows[c] }
            return sum.squareRoot()
        }
        let limit = 3 * lengths.sorted()[count / 2]
        let kept = (0..<count).filter { lengths[$0] <= limit }
        var mean = [Float](repeating: 0, count: channels)
        for row in kept { for c in 0..<channels { mean[c] += rows[row * channels + c] } }
        for c in 0..<channels { mean[c] /= Float(kept.count) }
        var variance = [Float](repeating: 0, count: channels)
        for row in kept {
            for c in 0..<channels {
                let deviation = rows[row * channels + c] - mean[c]
                variance[c] += deviation * deviation
            }
        }
        // Take the deviations of rows from all parts of the text.
        let number = min(Self.factorCount, kept.count)
        var factors = [Float](repeating: 0, count: Self.factorCount * channels)
        for k in 0..<number {
            let row = kept[k * kept.count / number]
            for c in 0..<channels { factors[k * channels + c] = rows[row * channels + c] - mean[c] }
        }
        for c in 0..<channels {
            var sum: Float = 0
            for k in 0..<number { sum += factors[k * channels + c] * factors[k * channels + c] }
            let scale = sum > 0 ? (variance[c] / Float(kept.count) / sum).squareRoot() : 0
            for k in 0..<number { factors[k * channels + c] *= scale }
        }
        let sorted = kept.map { lengths[$0] }.sorted()
        let norms = (0..<Self.normCount).map { sorted[$0 * (sorted.count - 1) / (Self.normCount - 1)] }
        try self.init(mean: mean, factors: factors, norms: norms)
    }

    /// Makes statistics of values that were measured earlier.
    ///
    /// - Precondition: `factors` is `[factorCount, mean.count]`, and there are ``normCount`` norms.
    /// - Throws: ``KernelError`` when there is no memory.
    package init(mean: [Float], factors: [Float], norms: [Float]) throws(KernelError) {
        precondition(
            factors.count == Self.factorCount * mean.count && norms.count == Self.normCount,
            "RowStatistics: sizes")
        channels = mean.count
        self.mean = mean
        self.factors = factors
        self.norms = norms
        // [channels, factors], the order that the kernel needs.
        let (channels, number) = (mean.count, Self.factorCount)
        let transposed = (0..<channels * number).map { factors[$0 % number * channels + $0 / number] }
        matrix = try PackedMatrix(rows: channels, columns: number, format: .f32)
        unsafe transposed.withUnsafeBytes { bytes in
            unsafe matrix.pack(bytes, as: .f32, firstRow: 0, count: channels, pool: ThreadPool(threads: 1))
        }
    }

    /// Draws redundant rows.
    package func draw(_ count: Int, random: inout SecureRandom, pool: ThreadPool) -> Plaintext {
        var rows = Plaintext(rows: count, channels: channels)
        guard count > 0 else { return rows }
        var weights = Plaintext(rows: count, channels: Self.factorCount)
        var span = weights.values
        for i in stride(from: 0, to: span.count, by: 2) { (span[i], span[i + 1]) = random.normalPair() }
        var out = rows.values
        linear(weights.span, matrix, bias: mean.span, into: &out, tokens: count, pool: pool)
        for row in 0..<count {
            let range = row * channels..<(row + 1) * channels
            var sum: Float = 0
            for c in range { sum += out[c] * out[c] }
            guard sum > 0 else { continue }
            // A norm between two neighbouring quantiles.
            let place = Float(random.unit()) * Float(norms.count - 1)
            let low = min(Int(place), norms.count - 2)
            let norm = norms[low] + (norms[low + 1] - norms[low]) * (place - Float(low))
            let scale = norm / sum.squareRoot()
            for c in range { out[c] *= scale }
        }
        return rows
    }
}

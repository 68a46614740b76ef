package import SCXInference
import Synchronization

/// A linear site as profile `sealed` multiplies by it: `W ≈ Ŵ · diag(scales)` with integers Ŵ from −127 to 127.
///
/// Everything here except the ``sketch`` is public, since the weights are. The trusted side computes it once from the
/// checkpoint, or reads what a ``SiteStore`` has kept, and after that it does not need the weights any more.
package final class RingSite: Sendable {
    /// The site's name in the decoder.
    package let site: DecoderSite
    /// Channels of the rows that are multiplied.
    package let inputs: Int
    /// Channels of the results.
    package let outputs: Int
    /// `[outputs]`: the factor of each column's integers.
    let scales: [Float]
    /// The bias, `[outputs]`, or empty.
    let bias: [Float]
    /// The largest Euclidean norm of a column of Ŵ, max_j ‖ŵ_j‖₂, at least 1.
    let largestNorm: Double
    private let current: Mutex<SiteSketch>
    private let drawn = Atomic<Int>(0)

    /// The secret by which the site's products are verified, until it is drawn anew.
    var sketch: SiteSketch { current.withLock { $0 } }

    /// How often the secret was drawn anew.
    package var renewals: Int { drawn.load(ordering: .relaxed) }

    /// Makes the site from its packed weights, and draws its secret.
    ///
    /// - Parameters:
    ///   - site: The site's name in the decoder.
    ///   - weights: `[outputs, inputs]` in ring form.
    ///   - bias: `[outputs]`, or empty.
    ///   - random: The generator from which the secret is drawn.
    ///   - pool: Threads that compute the sketch.
    package init(
        _ site: DecoderSite, weights: PackedMatrix, bias: [Float], random: inout SecureRandom,
        pool: ThreadPool
    ) {
        let largest = weights.rowNorms(pool: pool).max() ?? 0
        self.site = site
        (inputs, outputs) = (weights.columns, weights.rows)
        (scales, self.bias) = (weights.rowScales, bias)
        largestNorm = max(1, Double(largest).squareRoot())
        current = Mutex(SiteSketch(weights, random: &random, pool: pool))
        precondition(inputs <= Self.mostInputs, "RingSite: too many inputs for the bound on exponents")
    }

    /// Makes a site of values that were stored.
    init(
        _ shape: SiteShape, scales: [Float], bias: [Float], largestNorm: Double, sketch: SiteSketch
    ) {
        site = shape.site
        (inputs, outputs) = (shape.inputs, shape.outputs)
        (self.scales, self.bias, self.largestNorm) = (scales, bias, largestNorm)
        current = Mutex(sketch)
        precondition(inputs <= Self.mostInputs, "RingSite: too many inputs for the bound on exponents")
    }

    private static let mostInputs = 1 << 24

    /// Draws the secret anew after a product was refused, so that later checks do not depend on what a liar may have
    /// learned.
    ///
    /// - Parameters:
    ///   - weights: The site's weights.
    ///   - random: The generator from which the secret is drawn.
    ///   - pool: Threads that compute the sketch.
    package func renewSketch(_ weights: PackedMatrix, random: inout SecureRandom, pool: ThreadPool) {
        precondition(
            weights.columns == inputs && weights.rows == outputs, "RingSite: weights of another shape")
        let fresh = SiteSketch(weights, random: &random, pool: pool)
        current.withLock { $0 = fresh }
        drawn.add(1, ordering: .relaxed)
    }

    /// Whether the site was made of these weights; if they differ anywhere, it still returns true with probability
    /// 2⁻⁶⁰ at most.
    package func isMade(of weights: PackedMatrix, pool: ThreadPool) -> Bool {
        guard weights.columns == inputs, weights.rows == outputs else { return false }
        // The bits are compared, since the scale is NaN for a row with a weight that is not finite.
        let isScaled = weights.rowScales.elementsEqual(scales) { $0.bitPattern == $1.bitPattern }
        return isScaled && sketch.isMade(of: weights, pool: pool)
    }

    /// The largest exponent a with ‖round(x · 2^a)‖₂ · max_j ‖ŵ_j‖₂ < 2³¹, so that no product can wrap.
    ///
    /// Rounding changes each of the d integers by at most 1/2, so ‖x̂‖₂ ≤ 2^a · ‖x‖₂ + √d / 2. With 2^a · ‖x‖₂ ≤ (2³¹
    /// − 1) / N − √d / 2, where N is the largest norm, ‖x̂‖₂ · N ≤ 2³¹ − 1. By the Cauchy–Schwarz inequality |x̂ ·
    /// ŵ_j| ≤ ‖x̂‖₂ · ‖ŵ_j‖₂ then fits a signed 32-bit number, and since N ≥ 1 so does each |x̂_i|. The factor 1 +
    /// 2⁻³⁰ covers the rounding of the sum of squares in double precision.
    ///
    /// - Parameter squares: Σ x², finite.
    /// - Returns: From −126 to 126, where 2^a and 2^−a are normal numbers.
    func exponent(sumOfSquares squares: Double) -> Int {
        guard squares > 0 else { return 0 }
        let bound = (0x1p31 - 1) / largestNorm - Double(inputs).squareRoot() / 2
        let norm = squares.squareRoot() * (1 + 0x1p-30)
        return min(max(Int((bound / norm).exponent), -126), 126)
    }
}

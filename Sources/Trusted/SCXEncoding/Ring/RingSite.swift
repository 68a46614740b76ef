package import SCXInference
import Synchronization

/// A linear site as profile `sealed` multiplies by it: `W ≈ Ŵ · diag(scales)` with integers Ŵ from −127 to 127.
///
/// A site of experts has several matrices, and a row has channels for each of them: it is multiplied by the matrix that
/// has them on its diagonal.
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
    /// How many matrices of equal shape the site has, each of which has channels of its own; see
    /// ``DecoderConfiguration/groups(of:)``.
    package let groups: Int
    /// `[outputs]`: the factor of each column's integers.
    let scales: [Float]
    /// The bias, `[outputs]`, or empty.
    let bias: [Float]
    /// For each group the largest Euclidean norm of a column of Ŵ, max_j ‖ŵ_j‖₂, at least 1.
    let largestNorms: [Double]
    private let current: Mutex<SiteSketch>
    private let drawn = Atomic<Int>(0)

    /// The secret by which the site's products are verified, until it is drawn anew.
    var sketch: SiteSketch { current.withLock { $0 } }

    /// How often the secret was drawn anew.
    package var renewals: Int { drawn.load(ordering: .relaxed) }

    /// Channels of the rows that one group multiplies, and of its results.
    package var groupInputs: Int { inputs / groups }
    package var groupOutputs: Int { outputs / groups }

    /// The channels of a group's results.
    func outputs(ofGroup group: Int) -> Range<Int> { group * groupOutputs..<(group + 1) * groupOutputs }

    /// Makes the site from its packed weights, and draws its secret.
    ///
    /// - Parameters:
    ///   - site: The site's name in the decoder.
    ///   - weights: `[outputs, inputs]` in ring form, for each of the site's groups.
    ///   - bias: One number for each output of all groups, or empty.
    ///   - random: The generator from which the secret is drawn.
    ///   - pool: Threads that compute the sketch.
    package init(
        _ site: DecoderSite, weights: [PackedMatrix], bias: [Float], random: inout SecureRandom,
        pool: ThreadPool
    ) {
        self.site = site
        groups = weights.count
        (inputs, outputs) = (groups * weights[0].columns, groups * weights[0].rows)
        (scales, self.bias) = (weights.flatMap(\.rowScales), bias)
        largestNorms = weights.map { max(1, Double($0.rowNorms(pool: pool).max() ?? 0).squareRoot()) }
        current = Mutex(SiteSketch(weights, random: &random, pool: pool))
        precondition(
            inputs / groups <= Self.mostInputs, "RingSite: too many inputs for the bound on exponents")
    }

    /// Makes a site of one matrix.
    package convenience init(
        _ site: DecoderSite, weights: PackedMatrix, bias: [Float], random: inout SecureRandom,
        pool: ThreadPool
    ) {
        self.init(site, weights: [weights], bias: bias, random: &random, pool: pool)
    }

    /// Makes a site of values that were stored.
    init(
        _ shape: SiteShape, scales: [Float], bias: [Float], largestNorms: [Double], sketch: SiteSketch
    ) {
        site = shape.site
        (inputs, outputs, groups) = (shape.inputs, shape.outputs, shape.groups)
        (self.scales, self.bias, self.largestNorms) = (scales, bias, largestNorms)
        current = Mutex(sketch)
        precondition(
            inputs / groups <= Self.mostInputs, "RingSite: too many inputs for the bound on exponents")
    }

    private static let mostInputs = 1 << 24

    /// Draws the secret anew after a product was refused, so that later checks do not depend on what a liar may have
    /// learned.
    ///
    /// - Parameters:
    ///   - weights: The site's weights.
    ///   - random: The generator from which the secret is drawn.
    ///   - pool: Threads that compute the sketch.
    package func renewSketch(_ weights: [PackedMatrix], random: inout SecureRandom, pool: ThreadPool) {
        precondition(hasShape(of: weights), "RingSite: weights of another shape")
        let fresh = SiteSketch(weights, random: &random, pool: pool)
        current.withLock { $0 = fresh }
        drawn.add(1, ordering: .relaxed)
    }

    /// Whether the site was made of these weights; if they differ anywhere, it still returns true with probability
    /// 2⁻⁶⁰ at most.
    package func isMade(of weights: [PackedMatrix], pool: ThreadPool) -> Bool {
        guard hasShape(of: weights) else { return false }
        // The bits are compared, since the scale is NaN for a row with a weight that is not finite.
        let isScaled = weights.flatMap(\.rowScales).elementsEqual(scales) { $0.bitPattern == $1.bitPattern }
        return isScaled && sketch.isMade(of: weights, pool: pool)
    }

    private func hasShape(of weights: [PackedMatrix]) -> Bool {
        weights.count == groups
            && weights.allSatisfy { $0.columns == groupInputs && $0.rows == groupOutputs }
    }

    /// The largest exponent a with ‖round(x · 2^a)‖₂ · max_j ‖ŵ_j‖₂ < 2³¹, so that no product can wrap.
    ///
    /// Rounding changes each of the d integers by at most 1/2, so ‖x̂‖₂ ≤ 2^a · ‖x‖₂ + √d / 2. With 2^a · ‖x‖₂ ≤ (2³¹
    /// − 1) / N − √d / 2, where N is the largest norm, ‖x̂‖₂ · N ≤ 2³¹ − 1. By the Cauchy–Schwarz inequality |x̂ ·
    /// ŵ_j| ≤ ‖x̂‖₂ · ‖ŵ_j‖₂ then fits a signed 32-bit number, and since N ≥ 1 so does each |x̂_i|. The factor 1 +
    /// 2⁻³⁰ covers the rounding of the sum of squares in double precision.
    ///
    /// - Parameters:
    ///   - squares: Σ x² over a group's inputs, finite.
    ///   - group: The group.
    /// - Returns: From −126 to 126, where 2^a and 2^−a are normal numbers.
    func exponent(sumOfSquares squares: Double, group: Int = 0) -> Int {
        guard squares > 0 else { return 0 }
        let bound = (0x1p31 - 1) / largestNorms[group] - Double(groupInputs).squareRoot() / 2
        let norm = squares.squareRoot() * (1 + 0x1p-30)
        return min(max(Int((bound / norm).exponent), -126), 126)
    }
}

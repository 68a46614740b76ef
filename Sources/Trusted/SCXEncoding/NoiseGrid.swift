/// The step to whose multiples rows with noise are rounded, so that the noise can be taken away without a trace.
///
/// A row x and its noise α are rounded to multiples of one step, a power of two, before they are added. Their sum then is
/// a multiple too, of at most 2²⁴ steps, which float32 holds exactly; the worker's sums of products are exact in float64
/// (``exactLinear(_:_:into:tokens:pool:on:)``), and taking off αW leaves xW to the last bit, whatever α was.
///
/// The worker learns nothing from the step: rounding x + α, of a rounded x, is the same as rounding α, so what it sees is
/// what it would see without the rounding of the noise, after a rounding that it can do itself. With noise that is
/// larger than the rows, the step is less than 2⁻¹⁸ of the noise's scale.
///
/// Values of a row that are so large that the sum could need more than 2²⁴ steps are cut, and the trusted side multiplies
/// what was cut off itself; see ``fit(_:)``.
package struct NoiseGrid: Equatable, Sendable {
    /// The scale of the noise.
    package let scale: Float
    /// A power of two.
    package let step: Float
    /// The largest magnitude of a rounded row that is sent, a multiple of the step.
    package let room: Float

    /// Chooses the step.
    ///
    /// - Parameters:
    ///   - scale: The scale of the noise, zero or more; 0 for none.
    ///   - rowMagnitude: The root mean square of the rows to which it is added; an estimate.
    package init(scale: Float, rowMagnitude: Float) {
        precondition(scale >= 0 && scale.isFinite, "NoiseGrid: scale")
        self.scale = scale
        // No noise is beyond 22 scales, so at least a third of this is left for the rows.
        let span = max(32 * max(scale, rowMagnitude.isFinite ? rowMagnitude : 0), 0x1p-60)
        let top = Int(span.exponent) + (span.significand > 1 ? 1 : 0)
        step = Float(sign: .plus, exponent: top - 24, significand: 1)
        let left = Float(sign: .plus, exponent: top, significand: 1) - Float(SecureRandom.mostScales) * scale
        room = (left / step).rounded(.down) * step - 2 * step
    }

    /// Rounds to the nearest multiple of the step.
    func rounded(_ value: Double) -> Double {
        // Adding 1.5 · 2^52 steps to a double of at most 2^51 steps rounds it to whole steps.
        let shift = 0x1.8p52 * Double(step)
        return (value + shift) - shift
    }

    /// Rounds a value of a row, and cuts it to what is sent.
    func cut(_ value: Float) -> Float { min(max(Float(rounded(Double(value))), -room), room) }

    /// Draws noise, rounded to the step.
    func noise(_ random: inout SecureRandom) -> Float { Float(rounded(random.laplace() * Double(scale))) }

    /// Rounds rows, and cuts values that are too large to be sent.
    ///
    /// - Parameter rows: The rows; they become what is sent.
    /// - Returns: What was cut off, as rows of the same shape, to be multiplied on the trusted side; nil when that is
    ///   nothing.
    package func fit(_ rows: inout Plaintext) -> Plaintext? {
        let (count, channels) = (rows.rows, rows.channels)
        var values = rows.values
        var isCut = false
        for i in values.indices where abs(values[i]) > room { isCut = true }
        guard isCut else {
            for i in values.indices { values[i] = cut(values[i]) }
            return nil
        }
        var beyond = Plaintext(rows: count, channels: channels)
        var rest = beyond.values
        for i in values.indices {
            let sent = cut(values[i])
            rest[i] = Float(rounded(Double(values[i])) - Double(sent))
            values[i] = sent
        }
        return beyond
    }
}

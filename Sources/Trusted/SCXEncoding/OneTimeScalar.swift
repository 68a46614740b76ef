import Foundation
package import SCXLink

/// A secret positive factor for each row of one exchange; the norm that the worker applies first cancels it.
///
/// RMSNorm(c · h) = h / √(m + ε / c²), where m is the mean square of h: the factor does not scale ε. So c is at least
/// 1, and only so large that this changes the norm by less than 1 in 100,000. If m is 5 or more, any c up to 16 is
/// allowed; if m is close to ε, c can hardly differ from 1, and the scale hides little.
package struct OneTimeScalar: ~Copyable, Sendable {
    private static let tolerance = 1e-5
    private static let largest = 16.0

    private let factors: SecretBuffer<Float>

    /// Draws a factor for each row, whose logarithm is uniform up to the largest factor that the row allows.
    ///
    /// - Parameters:
    ///   - rows: The rows that will be encoded.
    ///   - epsilon: ε of the norm.
    ///   - random: The generator of keys.
    package init(for rows: borrowing Plaintext, epsilon: Float, random: inout SecureRandom) {
        var factors = SecretBuffer<Float>(repeating: 1, count: rows.rows)
        var span = factors.mutableSpan
        let channels = rows.channels
        for row in 0..<rows.rows {
            var sum = 0.0
            for c in row * channels..<(row + 1) * channels { sum += Double(rows.span[c] * rows.span[c]) }
            // The relative change is |1 - 1/c²| · ε / 2(m + ε).
            let room = 2 * Self.tolerance * (sum / Double(channels) + Double(epsilon)) / Double(epsilon)
            let limit = room < 1 ? min(1 / (1 - room).squareRoot(), Self.largest) : Self.largest
            span[row] = Float(exp(log(limit) * random.unit()))
        }
        self.factors = factors
    }

    /// Encodes the rows; the answer needs no decoding.
    ///
    /// - Precondition: They are the rows for which the key was drawn.
    package consuming func encode(_ x: borrowing Plaintext) -> EncodedTensor {
        precondition(x.rows == factors.count, "OneTimeScalar: drawn for other rows")
        let channels = x.channels
        let values = encodedRows(x.rows, channels) { out in
            for row in 0..<x.rows {
                for c in row * channels..<(row + 1) * channels { out[c] = factors.span[row] * x.span[c] }
            }
        }
        return EncodedTensor(encodedRows: x.rows, channels: channels, values: values)
    }
}

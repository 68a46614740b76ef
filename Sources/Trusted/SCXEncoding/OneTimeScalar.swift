import Foundation
package import SCXLink

/// A secret positive number for each row of one exchange, which the norm that comes first cancels.
///
/// RMSNorm(c · h) = h / √(m + ε / c²) with m the mean square of h: ε is not scaled with the row. So c is at least 1, and
/// only so large that this changes the norm by less than 1 in 100,000. Where m is 5 or more that allows any c up to 16;
/// where m is close to ε it leaves little to hide behind.
package struct OneTimeScalar: ~Copyable, Sendable {
    private static let tolerance = 1e-5
    private static let largest = 16.0

    private let factors: SecretBuffer<Float>

    /// Draws a number for each row, its logarithm uniform up to the largest that the row allows.
    ///
    /// - Parameters:
    ///   - rows: What will be encoded.
    ///   - epsilon: ε of the norm.
    ///   - random: The generator of keys.
    package init(for rows: borrowing Plaintext, epsilon: Float, random: inout SecureRandom) {
        var factors = SecretBuffer<Float>(repeating: 1, count: rows.rows)
        var span = factors.mutableSpan
        let channels = rows.channels
        for row in 0..<rows.rows {
            var sum = 0.0
            for c in row * channels..<(row + 1) * channels { sum += Double(rows.span[c] * rows.span[c]) }
            // |1 - 1/c²| · ε / 2(m + ε) is the change.
            let room = 2 * Self.tolerance * (sum / Double(channels) + Double(epsilon)) / Double(epsilon)
            let limit = room < 1 ? min(1 / (1 - room).squareRoot(), Self.largest) : Self.largest
            span[row] = Float(exp(log(limit) * random.unit()))
        }
        self.factors = factors
    }

    /// Encodes the rows; the answer needs no opening.
    ///
    /// - Precondition: They are those that the key was drawn for.
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

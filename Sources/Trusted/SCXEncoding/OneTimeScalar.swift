import Foundation
package import SCXLink

/// A secret positive number for each row of one exchange, which the norm that comes first cancels.
///
/// RMSNorm(c · h) = RMSNorm(h) but for ε, whose part shrinks as c² grows; so c is at least 1.
package struct OneTimeScalar: ~Copyable, Sendable {
    private let factors: SecretBuffer<Float>

    /// Draws numbers from 1 to 16, whose logarithms are uniform.
    package init(rows: Int, random: inout SecureRandom) {
        var factors = SecretBuffer<Float>(repeating: 1, count: rows)
        var span = factors.mutableSpan
        for row in 0..<rows { span[row] = Float(exp2(4 * random.unit())) }
        self.factors = factors
    }

    /// Encodes rows; the answer needs no opening.
    ///
    /// - Precondition: The key was drawn for as many rows.
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

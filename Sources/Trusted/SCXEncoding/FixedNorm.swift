import Foundation
package import SCXLink

extension EncodedTensor {
    /// Scales each row to a root mean square that tells nothing of its own; the norm that the worker applies first cancels
    /// the factor.
    ///
    /// RMSNorm(c · h) = h / √(m + ε / c²), where m is the mean square of h: the factor does not scale ε. Let r = ε / (m + ε).
    /// The row gets the mean square at which r is the nearest multiple of 4 · 10⁻⁵, so the norm changes by at most
    /// 1 / (1 − r) in 100,000, where r is at most a half. All rows whose m is above 50,000 ε get the same mean square.
    /// Rows that are smaller tell r to within these steps; if m is not above ε at all, they are sent as they are.
    ///
    /// The factor depends on the row alone. So the worker's result is the same whenever the row is.
    ///
    /// - Parameters:
    ///   - rows: The rows.
    ///   - epsilon: ε of the norm.
    package init(scaledToFixedNorm rows: borrowing Plaintext, epsilon: Float) {
        let (channels, epsilon) = (rows.channels, Double(epsilon))
        let values = encodedRows(rows.rows, channels) { out in
            for row in 0..<rows.rows {
                let range = row * channels..<(row + 1) * channels
                var sum = 0.0
                for c in range { sum += Double(rows.span[c]) * Double(rows.span[c]) }
                let factor = Self.factor(meanSquare: sum / Double(channels), epsilon: epsilon)
                for c in range { out[c] = Float(factor * Double(rows.span[c])) }
            }
        }
        self.init(encodedRows: rows.rows, channels: channels, values: values)
    }

    private static func factor(meanSquare: Double, epsilon: Double) -> Double {
        let step = 4e-5
        guard meanSquare > 0, meanSquare.isFinite, epsilon >= 0 else { return 1 }
        let part = (epsilon / (meanSquare + epsilon) / step).rounded() * step
        guard part <= 0.5 else { return 1 }
        // So large that ε is lost in the norm's rounding.
        let wanted = part == 0 ? max(epsilon * 0x1p30, 1) : epsilon * (1 - part) / part
        return (wanted / meanSquare).squareRoot()
    }
}

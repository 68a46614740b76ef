/// Shifts and scales by which the channels of keys and values get equal ranges before they are rounded to a few bits.
///
/// Attention's result can be recovered. With keys (k − μ) / s and queries q · s, every score of a query changes by
/// the same −q · μ, which the softmax ignores. With values (v − μ) / s attention gives (a − μ) / s in place of its
/// result a, since the weights add up to 1, and ``restore(_:)`` computes a from that. Each channel then has a rounding
/// error in proportion to its own range, and not to that of the largest channel.
package final class ChannelScaling: Sendable {
    let shape: HeadShape
    /// The number of tokens on which the scaling was measured.
    package let count: Int
    // Means and deviations of keys, followed by those of values.
    private let means: SecretBuffer<Float>
    private let deviations: SecretBuffer<Float>

    /// Measures the mean and the standard deviation of each channel of a cache.
    package init(_ cache: ProtectedCache, _ shape: HeadShape) {
        self.shape = shape
        count = cache.count
        let width = 2 * shape.keyWidth
        precondition(cache.width == shape.keyWidth && cache.count > 0, "ChannelScaling: cache")
        var means = SecretBuffer<Float>(repeating: 0, count: width)
        var deviations = SecretBuffer<Float>(repeating: 1, count: width)
        var mean = means.mutableSpan
        var deviation = deviations.mutableSpan
        let share = 1 / Float(cache.count)
        cache.withRows { rows in
            for token in 0..<cache.count {
                for c in 0..<width { mean[c] += rows[token * width + c] * share }
            }
            for c in 0..<width {
                var sum: Float = 0
                for token in 0..<cache.count {
                    let difference = rows[token * width + c] - mean[c]
                    sum += difference * difference
                }
                // A channel that was constant so far may vary later, so its scale must not be zero.
                let found = (sum * share).squareRoot()
                deviation[c] = found > 0 ? found : 1
            }
        }
        self.means = means
        self.deviations = deviations
    }

    /// The mean of a channel; channels of values are counted after those of keys.
    func mean(_ channel: Int) -> Float { means.withFirst(means.count) { $0[channel] } }
    func deviation(_ channel: Int) -> Float { deviations.withFirst(deviations.count) { $0[channel] } }

    /// Undoes the scaling of the values in attention's result.
    func restore(_ attended: inout Plaintext) {
        let (size, group) = (shape.headSize, shape.heads / shape.keyValueHeads)
        let (width, rows) = (shape.queryWidth, attended.rows)
        var out = attended.values
        for head in 0..<shape.heads {
            let from = (shape.keyValueHeads + head / group) * size
            for row in 0..<rows {
                for c in 0..<size {
                    let i = row * width + head * size + c
                    out[i] = out[i] * deviation(from + c) + mean(from + c)
                }
            }
        }
    }
}

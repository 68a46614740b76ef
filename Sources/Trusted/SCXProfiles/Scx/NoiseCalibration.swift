import Foundation
import SCXEncoding
package import SCXInference

/// Measures how much Laplace noise hides which token a row belongs to.
///
/// The worker knows the vocabulary, so it knows every row x_t that the first block can receive, and can compare the
/// noised row y with each of them; this is the attack that the noise must withstand. For weak signals the best filter
/// is Σ sign(y) · x_t, for strong ones the nearest row by Euclidean distance. The best few of both are compared by
/// the exact likelihood, −|y − x_t|₁ / s.
package struct NoiseCalibration {
    /// How many tokens are tried at one scale: at least 256, up to 2,048 with small models.
    package let trials: Int
    private static let finalists = 32

    private let rows: PackedMatrix
    /// The rows of all tokens in float32, `[vocabulary, hidden]`.
    private let exact: [Float]
    private let minusHalfSquares: [Float]
    private let pool: ThreadPool
    package let vocabulary: Int
    package let hidden: Int
    /// The mean magnitude of the rows' values.
    package let meanMagnitude: Float

    /// How well noise of one scale hides which token a row belongs to.
    package struct Measurement: Sendable {
        package let scale: Float
        /// How many of the ``NoiseCalibration/trials`` tokens the filters name correctly.
        package let hits: Int
        /// Mean rank of the right token, 0 for first to 1 for last; 0.5 is chance.
        package let meanRank: Double
        /// The L1 distance of two tokens' rows over the scale, ε of the whole vector: the mean over pairs of tokens.
        package let meanEpsilon: Double
        /// The largest such ε.
        package let maximumEpsilon: Double

        /// Whether guessing explains that many hits, with a probability of error below 1 %.
        package let isAtChance: Bool
    }

    /// Computes the rows of all tokens that the first block receives.
    ///
    /// - Throws: ``LoadError`` or ``KernelError``.
    package init(_ checkpoint: Checkpoint, pool: ThreadPool) throws {
        self.pool = pool
        let embedding = try TokenEmbedding(checkpoint)
        vocabulary = embedding.vocabularySize
        hidden = embedding.channels
        trials = min(max(20_000_000_000 / (vocabulary * hidden), 256), 2_048)
        let norms = try Decoder(checkpoint, format: .bf16, pool: pool, parts: DecoderParts())
        rows = try PackedMatrix(rows: vocabulary, columns: hidden, format: .f32)
        var exact = [Float](repeating: 0, count: vocabulary * hidden)
        var minusHalfSquares = [Float](repeating: 0, count: vocabulary)
        var sum = 0.0
        let part = 1024
        for first in stride(from: 0, to: vocabulary, by: part) {
            let count = min(part, vocabulary - first)
            let embedded = embedding.rows(of: (first..<first + count).map(Int32.init))
            var normed = Plaintext(rows: count, channels: hidden)
            var span = normed.values
            norms.attentionNorm(embedded.span, block: 0, into: &span)
            for row in 0..<count {
                var square: Float = 0
                for c in row * hidden..<(row + 1) * hidden {
                    let value = span[c]
                    exact[first * hidden + c] = value
                    square += value * value
                    sum += Double(abs(value))
                }
                minusHalfSquares[first + row] = -square / 2
            }
            unsafe rows.pack(span.bytes, as: .f32, firstRow: first, count: count, pool: pool)
        }
        self.exact = exact
        self.minusHalfSquares = minusHalfSquares
        meanMagnitude = Float(sum / Double(vocabulary * hidden))
    }

    /// Applies the filters to noised rows of tokens drawn at random.
    package func measure(_ scale: Float) -> Measurement {
        var random = SecureRandom()
        let (hits, meanRank) = attack(scale, &random, withRanks: true)
        let epsilon = sensitivity(&random)
        return Measurement(
            scale: scale, hits: hits, meanRank: meanRank, meanEpsilon: epsilon.mean / Double(scale),
            maximumEpsilon: epsilon.maximum / Double(scale), isAtChance: isChance(hits))
    }

    /// Names the tokens of noised rows; returns how many are right, and the mean rank of the right ones.
    private func attack(
        _ scale: Float, _ random: inout SecureRandom, withRanks: Bool
    ) -> (hits: Int, meanRank: Double) {
        var hits = 0
        var rankSum = 0.0
        let tokens = (0..<trials).map { _ in Int(random.number(below: UInt32(vocabulary))) }
        let part = 64
        for first in stride(from: 0, to: tokens.count, by: part) {
            let batch = Array(tokens[first..<min(first + part, tokens.count)])
            var noised = [Float](repeating: 0, count: batch.count * hidden)
            for (i, token) in batch.enumerated() {
                for c in 0..<hidden {
                    noised[i * hidden + c] = exact[token * hidden + c] + random.laplace(scale: scale)
                }
            }
            let signs = noised.map { Float($0 < 0 ? -1 : 1) }
            // Ordering by |y - x|² is ordering by y · x - |x|² / 2, where the largest is the nearest.
            let scores = [filter(signs, bias: []), filter(noised, bias: minusHalfSquares)]
            for (i, token) in batch.enumerated() {
                let range = i * vocabulary..<(i + 1) * vocabulary
                var candidates: Set<Int> = []
                var rank = vocabulary
                for scores in scores {
                    let row = scores.span.extracting(range)
                    for entry in topK(row, Self.finalists) { candidates.insert(entry.index) }
                    guard withRanks else { continue }
                    var better = 0
                    for t in row.indices where row[t] > row[token] { better += 1 }
                    // The better rank of the two filters counts.
                    rank = min(rank, better)
                }
                let row = noised[i * hidden..<(i + 1) * hidden]
                if candidates.min(by: { distance(row, $0) < distance(row, $1) }) == token { hits += 1 }
                rankSum += Double(rank) / Double(max(vocabulary - 1, 1))
            }
        }
        return (hits, rankSum / Double(tokens.count))
    }

    /// How much is lost because rows are rounded to the step of the noise that is added to them.
    ///
    /// The noise itself is subtracted to the last bit.
    ///
    /// - Parameters:
    ///   - scale: Scale of the noise.
    ///   - weights: The weights of the first block's queries, keys and values, rounded for exact sums.
    /// - Returns: The root mean square of the error over that of the product.
    package func numericError(_ scale: Float, weights: PackedMatrix) -> Double {
        precondition(weights.columns == hidden, "NoiseCalibration: weights of another model")
        var random = SecureRandom()
        let count = 64
        var rows = Plaintext(rows: count, channels: hidden)
        var span = rows.values
        for row in 0..<count {
            let token = Int(random.number(below: UInt32(vocabulary)))
            for c in 0..<hidden { span[row * hidden + c] = exact[token * hidden + c] }
        }
        func product(_ rows: Span<Float>) -> [Double] {
            var result = [Double](repeating: 0, count: count * weights.rows)
            var out = result.mutableSpan
            exactLinear(rows, weights, into: &out, tokens: count, pool: pool)
            return result
        }
        let expected = product(rows.span)
        var squares = 0.0
        for i in rows.span.indices { squares += Double(rows.span[i] * rows.span[i]) }
        let grid = NoiseGrid(
            scale: scale, rowMagnitude: Float((squares / Double(count * hidden)).squareRoot()))
        // What is cut off is multiplied too.
        let beyond = grid.fit(&rows)
        var found = product(rows.span)
        if let beyond { for (i, value) in product(beyond.span).enumerated() { found[i] += value } }
        var (error, size) = (0.0, 0.0)
        for i in expected.indices {
            error += (found[i] - expected[i]) * (found[i] - expected[i])
            size += expected[i] * expected[i]
        }
        return (error / size).squareRoot()
    }

    /// The smallest scale, to a factor of √2, at which the filters find no more tokens than guessing.
    package func smallestScaleAtChance() -> Float {
        var random = SecureRandom()
        // It is tried twice, so that one lucky draw does not end the search.
        func isAtChance(_ scale: Float) -> Bool {
            isChance(attack(scale, &random, withRanks: false).hits)
                && isChance(attack(scale, &random, withRanks: false).hits)
        }
        var scale = max(meanMagnitude, 1e-6)
        while !isAtChance(scale), scale < 1e4 { scale *= 2 }
        let between = scale / Float(2).squareRoot()
        return isAtChance(between) ? between : scale
    }

    /// Whether guessing has at least as many hits in 1 of 100 tries, by a quantile of Poisson's distribution.
    private func isChance(_ hits: Int) -> Bool {
        let mean = Double(trials) / Double(vocabulary)
        var term = exp(-mean), sum = term, most = 0
        while sum < 0.99 {
            most += 1
            term *= mean / Double(most)
            sum += term
        }
        return hits <= most
    }

    private func filter(_ rows: [Float], bias: [Float]) -> [Float] {
        let count = rows.count / hidden
        var scores = [Float](repeating: 0, count: count * vocabulary)
        var span = scores.mutableSpan
        linear(rows.span, self.rows, bias: bias.span, into: &span, tokens: count, pool: pool)
        return scores
    }

    private func distance(_ row: ArraySlice<Float>, _ token: Int) -> Float {
        var sum: Float = 0
        let start = token * hidden - row.startIndex
        for i in row.indices { sum += abs(row[i] - exact[start + i]) }
        return sum
    }

    /// L1 distances of the rows of pairs of tokens drawn at random.
    private func sensitivity(_ random: inout SecureRandom) -> (mean: Double, maximum: Double) {
        var sum = 0.0, maximum = 0.0
        let pairs = 2_000
        for _ in 0..<pairs {
            let a = Int(random.number(below: UInt32(vocabulary))),
                b = Int(random.number(below: UInt32(vocabulary)))
            let value = Double(distance(exact[a * hidden..<(a + 1) * hidden], b))
            sum += value
            maximum = max(maximum, value)
        }
        return (sum / Double(pairs), maximum)
    }
}

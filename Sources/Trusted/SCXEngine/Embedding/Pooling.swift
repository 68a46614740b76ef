/// How the hidden states of a sequence become one vector, by the names of sentence-transformers.
package enum Pooling: String, CaseIterable, Sendable {
    /// The first token's.
    case cls
    case mean, max
    /// The sum divided by the root of the number of tokens.
    case meanSqrtLength = "mean_sqrt_len_tokens"
    /// The mean, in which each token weighs as much as its position, counted from 1.
    case weightedMean = "weightedmean"
    /// The last token's.
    case lastToken = "lasttoken"
}

/// What is wanted of a prompt instead of an answer.
package enum PromptReading: Equatable, Sendable {
    /// The hidden states after the final norm, pooled in each of these ways; the results are one after the other.
    ///
    /// The first `skipping` tokens take no part.
    case pooled([Pooling], skipping: Int = 0)
    /// The logits of these tokens as the next one.
    case logits(of: [Int32])
    /// What a model that takes pictures alone gives of each picture, one after the other; the prompt has no tokens.
    case pictures
}

/// Hidden states of a sequence on their way to one vector, taken in parts.
struct PooledStates: Sendable {
    private let ways: [Pooling]
    private let skipped: Int
    /// Tokens so far, with those that were skipped.
    private var tokens = 0
    private var (sum, weighted, largest): ([Double], [Double], [Float]) = ([], [], [])
    private var (first, last): ([Float], [Float]) = ([], [])

    init(_ ways: [Pooling], skipping skipped: Int) { (self.ways, self.skipped) = (ways, skipped) }

    /// Takes the next tokens' hidden states.
    ///
    /// - Parameters:
    ///   - states: `[count, hidden]`, row-major.
    ///   - count: How many tokens they belong to, at least one.
    mutating func add(_ states: [Float], tokens count: Int) {
        let width = states.count / count
        if sum.isEmpty {
            (sum, weighted) = (Array(repeating: 0, count: width), Array(repeating: 0, count: width))
            largest = Array(repeating: -.infinity, count: width)
            (first, last) = (Array(repeating: 0, count: width), Array(repeating: 0, count: width))
        }
        for row in 0..<count {
            defer { tokens += 1 }
            guard tokens >= skipped else { continue }
            let values = states[row * width..<(row + 1) * width]
            if tokens == skipped { first = Array(values) }
            if row == count - 1 { last = Array(values) }
            for (c, value) in values.enumerated() {
                sum[c] += Double(value)
                weighted[c] += Double(tokens + 1) * Double(value)
                largest[c] = Swift.max(largest[c], value)
            }
        }
    }

    /// The vector, `[ways · hidden]`; zeros where all tokens were skipped.
    var vector: [Float] {
        let count = tokens - skipped
        guard count > 0 else { return Array(repeating: 0, count: ways.count * sum.count) }
        return ways.flatMap { way -> [Float] in
            switch way {
            case .cls: return first
            case .lastToken: return last
            case .max: return largest
            case .mean: return sum.map { Float($0 / Double(count)) }
            case .meanSqrtLength: return sum.map { Float($0 / Double(count).squareRoot()) }
            case .weightedMean:
                // The weights are skipped + 1 to tokens.
                let total = Double(count) * Double(skipped + 1 + tokens) / 2
                return weighted.map { Float($0 / total) }
            }
        }
    }
}

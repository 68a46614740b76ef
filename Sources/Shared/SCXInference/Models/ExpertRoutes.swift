#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Which experts the tokens of some rows take, and with which weights.
public struct ExpertRoutes: Equatable, Sendable {
    /// How many experts a block has.
    public let experts: Int
    /// How many of them each row takes.
    public let perRow: Int
    /// `[rows, perRow]`: the experts of each row, the one with the largest score first; no expert twice.
    public let chosen: [Int32]
    /// `[rows, perRow]`: the factors of their results.
    public let weights: [Float]
    /// `[rows]`: the factors of the shared expert's results; empty where they are 1, or where there is none.
    public let sharedFactors: [Float]

    public init(experts: Int, perRow: Int, chosen: [Int32], weights: [Float], sharedFactors: [Float] = []) {
        precondition(
            chosen.count == weights.count && chosen.count % perRow == 0,
            "ExpertRoutes: not a weight for each expert")
        self.experts = experts
        self.perRow = perRow
        self.chosen = chosen
        self.weights = weights
        self.sharedFactors = sharedFactors
    }

    public var rows: Int { chosen.count / perRow }

    /// For each expert the places in ``chosen`` of the rows that take it, in the order of the rows.
    public var placesByExpert: [[Int]] {
        var places = [[Int]](repeating: [], count: experts)
        for (place, expert) in chosen.enumerated() { places[Int(expert)].append(place) }
        return places
    }
}

extension DecoderConfiguration.Experts {
    /// Chooses a row's experts by its scores, and computes the factors of their results.
    ///
    /// Of equal probabilities the expert with the lower number comes first. Scores that are not numbers make all factors
    /// NaN.
    ///
    /// - Parameters:
    ///   - scores: One for each expert; overwritten by the probabilities.
    ///   - bias: What is added to the probabilities for the choice alone, one for each expert; empty for none.
    ///   - chosen: Receives ``perToken`` experts, the one with the largest score first.
    ///   - weights: Receives as many factors.
    func choose(
        _ scores: inout MutableSpan<Float>, bias: Span<Float>, _ chosen: inout MutableSpan<Int32>,
        _ weights: inout MutableSpan<Float>
    ) {
        switch scoring {
        case .softmax: softmax(&scores)
        case .sigmoid: for i in scores.indices { scores[i] = 1 / (1 + expf(-scores[i])) }
        }
        let best = best(scores.span, bias: bias)
        guard best.count == perToken else {
            // A row that is not finite still has to take experts, since its requests must look like all others.
            for i in chosen.indices { (chosen[i], weights[i]) = (Int32(i), .nan) }
            return
        }
        // As in the reference implementation, so that probabilities that are all zero give no NaN.
        let least: Float = scoring == .sigmoid ? 1e-20 : 0
        let sum = isNormalized ? best.reduce(least) { $0 + scores[$1.index] } : 1
        for (i, expert) in best.enumerated() {
            (chosen[i], weights[i]) = (Int32(expert.index), scores[expert.index] / sum * scale)
        }
    }

    /// The experts with the largest biased probabilities, of the groups that are chosen.
    private func best(_ probabilities: Span<Float>, bias: Span<Float>) -> [(index: Int, value: Float)] {
        guard grouping != nil || !bias.isEmpty else { return topK(probabilities, perToken) }
        var rated = probabilities.indices.map { probabilities[$0] + (bias.isEmpty ? 0 : bias[$0]) }
        if let grouping {
            let size = count / grouping.count
            let ratings = (0..<grouping.count).map { group in
                topK(rated.span.extracting(group * size..<(group + 1) * size), grouping.rated)
                    .reduce(0) { $0 + $1.value }
            }
            let chosen = Set(topK(ratings.span, grouping.perToken).map(\.index))
            for i in rated.indices where !chosen.contains(i / size) { rated[i] = -.infinity }
        }
        return topK(rated.span, perToken)
    }
}

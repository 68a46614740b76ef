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
    /// The scores become probabilities by softmax over all experts. Of equal ones the expert with the lower number comes
    /// first. Scores that are not numbers make all factors NaN.
    ///
    /// - Parameters:
    ///   - scores: One for each expert; overwritten by the probabilities.
    ///   - chosen: Receives ``perToken`` experts, the one with the largest score first.
    ///   - weights: Receives as many factors.
    func choose(
        _ scores: inout MutableSpan<Float>, _ chosen: inout MutableSpan<Int32>,
        _ weights: inout MutableSpan<Float>
    ) {
        softmax(&scores)
        let best = topK(scores.span, perToken)
        guard best.count == perToken else {
            // A row that is not finite still has to take experts, since its requests must look like all others.
            for i in chosen.indices { (chosen[i], weights[i]) = (Int32(i), .nan) }
            return
        }
        let sum = isNormalized ? best.reduce(0) { $0 + $1.value } : 1
        for (i, expert) in best.enumerated() {
            (chosen[i], weights[i]) = (Int32(expert.index), expert.value / sum)
        }
    }
}

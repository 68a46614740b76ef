import SCXInference
import SCXLink

/// Puts tokens whose order is unknown into the order that the model finds most likely.
///
/// This is the unscrambling of SCX (SIGCOMM 2025, section 6.3), which was done with GPT-4o there. Here the served
/// model scores orders, by a beam search and then by exchanging pairs as long as that helps (simulated annealing at a
/// falling temperature). The tokens are those that ``NearestInput`` finds.
public struct Unscrambling: Attack {
    public let name = "unscrambling"
    /// How many paths the beam search keeps.
    public let beam: Int
    /// How many exchanges of pairs are tried.
    public let swaps: Int
    /// The most tokens of a session, since the work grows with the square.
    private let longest = 64

    public init(beam: Int = 4, swaps: Int = 100) { (self.beam, self.swaps) = (beam, swaps) }

    public func run(on target: Target) throws(AttackError) -> Findings {
        guard let step = target.session.steps.first, !step.isGeneration else {
            throw .nothingToAttack("no prompt")
        }
        var part = target
        part.session.steps = [step]
        let bag = try NearestInput().run(on: part).tokens
        guard !bag.isEmpty, step.positions.count <= longest else {
            throw .nothingToAttack("no rows in unknown order, or more than \(longest)")
        }
        let scorer = Scorer(model: target.model)
        // A path, and the tokens that are left for it.
        var paths: [(tokens: [Int32], left: [Int32], score: Float)] = [([], bag, 0)]
        var findings = Findings()
        for position in 0..<min(step.positions.count, bag.count) {
            let next = try scorer.next(paths.map(\.tokens))
            var grown: [(tokens: [Int32], left: [Int32], score: Float)] = []
            for (path, logProbabilities) in zip(paths, next) {
                let known = target.known[position].map { [$0] } ?? Array(Set(path.left)).sorted()
                for token in known {
                    var left = path.left
                    if let i = left.firstIndex(of: token) { left.remove(at: i) }
                    grown.append((path.tokens + [token], left, path.score + logProbabilities[Int(token)]))
                }
            }
            findings.candidatesTried += grown.count
            paths = Array(grown.sorted { $0.score > $1.score }.prefix(beam))
        }
        guard var best = paths.first?.tokens else { throw .nothingToAttack("no order") }
        var score = try scorer.score(best)
        var random = SplitMix(state: 1)  // the same in every run: attacks shall be repeatable
        let free = best.indices.filter { target.known[$0] == nil }
        for round in 0..<swaps where free.count > 1 {
            var other = best
            other.swapAt(
                free[Int(random.next() % UInt64(free.count))], free[Int(random.next() % UInt64(free.count))])
            let value = try scorer.score(other)
            findings.candidatesTried += 1
            let temperature = 2 * Float(swaps - round) / Float(swaps)
            let luck = Double(random.next() >> 11) / Double(1 << 53)
            if value > score || round < swaps / 2 && luck < exponential(Double((value - score) / temperature))
            {
                (best, score) = (other, value)
            }
        }
        for (position, token) in best.enumerated() { findings.positions[position] = [token] }
        findings.measures = [Measure("log probability of the order", Double(score))]
        return findings
    }

    /// Log-probabilities by the model.
    private struct Scorer {
        let model: PublicModel

        /// Of every token after each of these beginnings, which must have the same length.
        func next(_ beginnings: [[Int32]]) throws(AttackError) -> [[Float]] {
            guard beginnings.contains(where: { !$0.isEmpty }) else {
                return beginnings.map { _ in [Float](repeating: 0, count: model.vocabularySize) }
            }
            let logits = try run(beginnings, all: false)
            return beginnings.indices.map { i in
                logSoftmax(logits[i * model.vocabularySize..<(i + 1) * model.vocabularySize])
            }
        }

        /// Of a whole text.
        func score(_ tokens: [Int32]) throws(AttackError) -> Float {
            let logits = try run([tokens], all: true)
            var sum: Float = 0
            for i in 1..<max(1, tokens.count) {
                let row = logits[(i - 1) * model.vocabularySize..<i * model.vocabularySize]
                sum += logSoftmax(row)[Int(tokens[i])]
            }
            return sum
        }

        private func run(_ texts: [[Int32]], all: Bool) throws(AttackError) -> [Float] {
            var workspace = Workspace()
            var hidden = model.embedding.selecting(texts.joined().map { Int($0) })
            var span = hidden.values.mutableSpan
            let segments = texts.map {
                CacheSegment(cache: model.decoder.makeCache(), position: 0, rows: $0.count)
            }
            do throws(KVCacheError) {
                try model.decoder.run(
                    blocks: 0..<model.configuration.blockCount, on: &span, segments: segments,
                    workspace: &workspace)
            } catch {
                throw .memory("\(error)")
            }
            if !all {
                var end = 0
                hidden = hidden.selecting(
                    texts.map { text in
                        end += text.count
                        return end - 1
                    })
            }
            return model.decoder.logits(hidden.values.span, workspace: &workspace)
        }

        private func logSoftmax(_ logits: ArraySlice<Float>) -> [Float] {
            let largest = logits.max() ?? 0
            let shifted = logits.map { $0 - largest }
            var powers = [Float](repeating: 0, count: shifted.count)
            var span = powers.mutableSpan
            exp(shifted.span, into: &span)
            let total = logarithm(powers.reduce(0, +))
            return shifted.map { $0 - total }
        }
    }
}

/// Random numbers that need not be secret (Steele, Lea and Flood 2014).
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

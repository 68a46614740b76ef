import SCXInference
import SCXLink
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Finds tokens by the experts that they take, and by nothing else.
///
/// In profile `plain` the worker runs the router itself, so it knows which experts each token takes. In profile `sealed`
/// it sees which experts a request reaches: all, or with `--expert-cover` some, among which are those that the token of a
/// single row takes. Either way tokens are found one after the other: the model is run on candidates for the next token
/// after those that were found, and a candidate's score is how many of the experts that it takes are among those that
/// were seen, over all blocks. The candidates are the tokens that fit best by themselves (``RoutingSignatures``). Of equal
/// scores each order is equally likely.
public final class Routing: Attack {
    public let name = "routing"
    /// How many tokens are named for a position.
    private let ranks: Int
    /// How many candidates the model is run on for each position.
    private let candidates: Int
    private let signatures = Mutex<RoutingSignatures?>(nil)

    /// Makes the attack, which computes the signatures when it first runs.
    ///
    /// - Parameters:
    ///   - ranks: How many tokens are named for a position.
    ///   - candidates: How many candidates the model is run on for each position.
    public init(ranks: Int = 64, candidates: Int = 512) {
        (self.ranks, self.candidates) = (ranks, candidates)
    }

    public func run(on target: Target) throws(AttackError) -> Findings {
        let observed = try Self.observations(target)
        guard !observed.isEmpty else {
            throw .nothingToAttack("no rows of single tokens whose experts are asked")
        }
        let signatures = try known(target.model)
        var findings = Findings()
        var bits: [Double] = []
        let cache = target.model.decoder.makeCache()
        var workspace = Workspace()
        for position in 0..<((observed.keys.max() ?? 0) + 1) {
            // A number for each token and position that nobody chose, so that equal scores are in no order.
            func order(_ token: Int) -> UInt64 {
                var z = (UInt64(token) << 32 | UInt64(position)) &* 0x9E37_79B9_7F4A_7C15
                z = (z ^ (z >> 29)) &* 0xBF58_476D_1CE4_E5B9
                return z ^ (z >> 32)
            }
            func ranked(_ scores: [Int: Int]) -> [Int] {
                scores.keys.sorted {
                    scores[$0] != scores[$1] ? scores[$0] ?? 0 > scores[$1] ?? 0 : order($0) < order($1)
                }
            }
            let blocks = observed[position] ?? [:]
            bits += blocks.values.map(\.bits)
            var scores: [Int: Int] = [:]
            for token in signatures.experts.indices {
                scores[token] = signatures.blocks.enumerated().reduce(0) { sum, block in
                    guard let reached = blocks[block.element] else { return sum }
                    return sum
                        + signatures.experts[token][block.offset].count { reached.experts.contains($0) }
                }
            }
            var best = Array(ranked(scores).prefix(candidates))
            if !blocks.isEmpty {
                scores = [:]
                for token in best {
                    let routes = try routes(of: token, at: position, target.model, cache, &workspace)
                    cache.truncate(to: position)
                    scores[token] = blocks.reduce(0) { sum, block in
                        guard let own = routes[block.key] else { return sum }
                        return sum + own.experts(ofRow: 0).count { block.value.experts.contains($0) }
                    }
                }
                best = ranked(scores)
                findings.positions[position] = best.prefix(ranks).map(Int32.init)
                findings.candidatesTried += best.count
            }
            let next = target.known[position].map(Int.init) ?? best.first ?? 0
            _ = try routes(of: next, at: position, target.model, cache, &workspace)
        }
        findings.measures.append(
            Measure(
                "bits told of a token's experts in a block", bits.reduce(0, +) / Double(max(1, bits.count)),
                chance: 0...0))
        return findings
    }

    /// Runs the model on one token after those in the cache.
    private func routes(
        of token: Int, at position: Int, _ model: PublicModel, _ cache: KVCache, _ workspace: inout Workspace
    ) throws(AttackError) -> [Int: ExpertRoutes] {
        var hidden = Array(model.embedding[token])
        let segment = CacheSegment(cache: cache, position: position, rows: 1)
        var span = hidden.mutableSpan
        return try model.routes(&span, [segment], &workspace)
    }

    private func known(_ model: PublicModel) throws(AttackError) -> RoutingSignatures {
        if let found = signatures.withLock({ $0 }) { return found }
        let made = try RoutingSignatures(model)
        signatures.withLock { $0 = made }
        return made
    }

    /// The experts that a token may have taken in a block.
    private struct Reached {
        let experts: Set<Int32>
        /// How much that tells: the logarithm of the share of all choices of which it can be one.
        let bits: Double

        init(_ experts: Set<Int32>, of all: DecoderConfiguration.Experts) {
            self.experts = experts
            bits = (0..<all.perToken).reduce(0) { sum, i in
                sum + log2(Double(all.count - i) / Double(max(1, experts.count - i)))
            }
        }
    }

    /// For each position whose row is known to be alone, the experts that were asked for it in each block.
    private static func observations(_ target: Target) throws(AttackError) -> [Int: [Int: Reached]] {
        guard let all = target.configuration.experts else {
            throw .nothingToAttack("the model has no experts")
        }
        var found: [Int: [Int: Reached]] = [:]
        let cache = target.model.decoder.makeCache()
        var workspace = Workspace()
        var next = 0
        for step in target.session.steps {
            for exchange in step.sent {
                switch exchange.operation {
                case .linearRing(let layer, .expertGateUp, let groups):
                    guard step.positions.count == 1 else { continue }
                    let experts = groups.map { Set($0.map(Int32.init)) } ?? Set(0..<Int32(all.count))
                    found[step.positions.lowerBound, default: [:]][layer] = Reached(experts, of: all)
                case .middle(let blocks, _):
                    // The worker runs whole blocks, so it has the router's choice.
                    guard blocks == 0..<target.configuration.blockCount, step.positions.lowerBound == next
                    else { continue }
                    var rows = try target.views.rows(of: exchange)
                    guard rows.rows == step.positions.count else { continue }
                    let segment = CacheSegment(cache: cache, position: next, rows: rows.rows)
                    var span = rows.values.mutableSpan
                    let routes = try target.model.routes(&span, [segment], &workspace)
                    for (layer, routes) in routes {
                        for (row, position) in step.positions.enumerated() {
                            found[position, default: [:]][layer] = Reached(
                                routes.experts(ofRow: row), of: all)
                        }
                    }
                    next = step.positions.upperBound
                default: continue
                }
            }
        }
        return found
    }
}

/// Guesses which of some texts a prompt is, by how many slots each expert has in the requests of profile `sealed`.
///
/// That number is the same for most texts of a length, and larger where many tokens take the same expert; see
/// `docs/profile-sealed.md`.
public struct CapacityGuess: Sendable {
    /// For each text the number of slots in each block with experts.
    public let expected: [[Int]]
    private let blocks: [Int]

    /// Computes the numbers of slots from the public weights.
    ///
    /// - Parameters:
    ///   - model: The model, with weights as the worker holds them.
    ///   - texts: The texts that the prompt may be.
    ///   - capacity: The rule by which the trusted side chooses the number of slots, which is public.
    /// - Throws: ``AttackError`` when the model has no experts, or there is no memory.
    public init(
        _ model: PublicModel, texts: [[Int32]],
        capacity: (_ rows: Int, _ experts: Int, _ perRow: Int, _ load: Int) -> Int
    ) throws(AttackError) {
        guard let experts = model.configuration.experts else {
            throw .nothingToAttack("the model has no experts")
        }
        let blocks = experts.blocks.indices.filter { experts.blocks[$0] }
        var workspace = Workspace()
        var expected: [[Int]] = []
        for text in texts {
            var hidden = model.embedding.selecting(text.map { Int($0) }).values
            var span = hidden.mutableSpan
            let cache = model.decoder.makeCache()
            let routes = try model.routes(
                &span, [CacheSegment(cache: cache, position: 0, rows: text.count)], &workspace)
            expected.append(
                blocks.map { block in
                    let load = routes[block]?.placesByExpert.map(\.count).max() ?? 1
                    return capacity(text.count, experts.count, experts.perToken, load)
                })
        }
        self.blocks = blocks
        self.expected = expected
    }

    /// The numbers of slots that a session's prompt had, as the worker saw them.
    public func observed(_ session: Session) -> [Int] {
        guard let first = session.steps.first else { return [] }
        return blocks.map { block in
            first.sent.reduce(0) { sum, exchange in
                guard case .linearRing(block, .expertGateUp, _) = exchange.operation else { return sum }
                return sum + exchange.request.rows
            }
        }
    }

    /// For each text how many blocks differ from what was observed; the text with the fewest is the guess.
    public func differences(_ observed: [Int]) -> [Int] {
        expected.map { zip($0, observed).count { $0 != $1 } }
    }
}

import SCXInference
import SCXLink

/// Finds tokens one after the other, by running the model on every candidate and comparing what each makes of a stage.
///
/// A4. Thomas and others, "Hidden No More", ICML 2025 (<https://arxiv.org/abs/2505.18332>), and the collision attack of
/// "Shadow in the Cache", NDSS 2026 (<https://arxiv.org/abs/2508.09442>). Candidates come in the order of the model's
/// own next-token probabilities, in batches; the first that fits is taken. Rows in unknown order are matched against
/// all that are left, rows with permuted channels by their sorted heads.
public struct VocabularyMatching: Attack {
    /// Which rows it compares with.
    public enum View: String, CaseIterable, Sendable {
        /// Inputs of a block's queries, keys and values, in unknown order.
        case inputs
        /// The same after the order was found by joining views: see ``RowOrder``.
        case joinedInputs = "joined-inputs"
        /// Inputs of a block's feed-forward network, in unknown order.
        case feedForward = "feed-forward"
        /// Keys and values that the worker was given the order of.
        case sharedKeysAndValues = "shared-kv"
        /// Keys and values of a block's attention, channels permuted inside the heads.
        case attention
        /// Rows of `middle`, in clear.
        case middle
        /// Its answers.
        case answers
    }

    public let view: View
    /// The block that is looked at, or the lowest that has such rows.
    public let layer: Int?

    public var name: String { "vocabulary-\(view.rawValue)" + (layer.map { "-\($0)" } ?? "") }

    public init(_ view: View, layer: Int? = nil) { (self.view, self.layer) = (view, layer) }

    public func run(on target: Target) throws(AttackError) -> Findings {
        let observations = try observations(target)
        guard !observations.isEmpty else { throw .nothingToAttack("no rows of the kind '\(view.rawValue)'") }
        var search = VocabularySearch(target.model, known: target.known)
        for observation in observations {
            guard try search.run(observation) else { break }
        }
        guard !search.findings.positions.isEmpty else {
            throw .nothingToAttack("its rows begin where the tokens before are unknown")
        }
        return search.findings
    }

    private func observations(_ target: Target) throws(AttackError) -> [Observation] {
        var found: [Observation] = []
        for step in target.session.steps {
            // The rows of generated tokens go in clear somewhere, which is better than any other view of them.
            if view != .answers, let observation = try generation(step, target) {
                found.append(observation)
            } else if let observation = try observation(step, target) {
                found.append(observation)
            }
        }
        return found
    }

    /// What any view of a generated token's step gives away: its rows go in clear from the first block on.
    private func generation(_ step: Step, _ target: Target) throws(AttackError) -> Observation? {
        guard step.isGeneration else { return nil }
        for exchange in step.exchanges {
            switch exchange.operation {
            case .feedForward(let layer) where layer < target.configuration.blockCount - 1:
                let rows = try target.views.rows(of: exchange)
                guard rows.rows == 1 else { continue }
                return Observation(.afterAttention(layer), rows, step.positions, ordered: true)
            case .middle(let blocks, _):
                let rows = try target.views.rows(of: exchange)
                return Observation(.hidden(blocks.lowerBound), rows, step.positions, ordered: true)
            default: continue
            }
        }
        return nil
    }

    private func observation(_ step: Step, _ target: Target) throws(AttackError) -> Observation? {
        let views = target.views
        let positions = step.positions
        guard !positions.isEmpty else { return nil }
        switch view {
        case .inputs, .joinedInputs:
            guard let exchange = exchange(step, .linear, site: .queryKeyValue), let layer = exchange.layer
            else {
                return nil
            }
            let rows = try views.rows(of: exchange)
            if view == .inputs {
                return Observation(.normed(layer), rows, positions, ordered: rows.rows == 1)
            }
            guard let order = try RowOrder(step, layer: layer, views) else { return nil }
            let known = order.rows.filter { $0 != nil }.count
            guard known == positions.count else { return nil }
            return Observation(
                .normed(layer), rows.selecting(order.rows.compactMap { $0 }), positions, ordered: true)
        case .feedForward:
            guard let exchange = exchange(step, .feedForward), let layer = exchange.layer,
                layer < target.configuration.blockCount
            else { return nil }
            let rows = try views.rows(of: exchange)
            return Observation(.afterAttention(layer), rows, positions, ordered: rows.rows == 1)
        case .sharedKeysAndValues:
            for exchange in step.exchanges where layer == nil || exchange.layer == layer {
                guard let (block, rows) = try views.unlocked(exchange, in: step) else { continue }
                guard rows.rows == positions.count else { continue }
                return Observation(.keysAndValues(block), rows, positions, ordered: true)
            }
            return nil
        case .attention:
            guard let exchange = exchange(step, .attention), let layer = exchange.layer,
                let rows = try views.attention(of: exchange),
                let first = rows.keyPositions.firstIndex(of: positions.lowerBound),
                rows.keyPositions.upperBound == positions.upperBound
            else { return nil }
            let both = rows.keys.besides(rows.values)
            return Observation(
                .rotated(layer), both.selecting(first - rows.keyPositions.lowerBound..<both.rows), positions,
                ordered: true, sortedBy: target.configuration.headSize)
        case .middle, .answers:
            for exchange in step.exchanges {
                guard case .middle(let blocks, _) = exchange.operation,
                    layer == nil || layer == (view == .middle ? blocks.lowerBound : blocks.upperBound)
                else { continue }
                if view == .middle {
                    let rows = try views.rows(of: exchange)
                    return Observation(.hidden(blocks.lowerBound), rows, positions, ordered: true)
                }
                guard let rows = try views.answer(of: exchange), rows.rows == positions.count,
                    rows.columns == target.configuration.hiddenSize
                else { return nil }
                return Observation(.hidden(blocks.upperBound), rows, positions, ordered: true)
            }
            return nil
        }
    }

    /// The exchange of the wished layer, or of the lowest.
    ///
    /// The first block's inputs carry noise, so those of `inputs`
    /// begin with the second where there is one.
    private func exchange(_ step: Step, _ kind: MessageKind, site: Site? = nil) -> Exchange? {
        if let layer { return step.first(kind, layer: layer, site: site) }
        let all = step.exchanges.filter { $0.kind == kind && (site == nil || $0.site == site) }
            .sorted { ($0.layer ?? 0) < ($1.layer ?? 0) }
        return kind == .linear ? all.first { ($0.layer ?? 0) > 0 } ?? all.first : all.first
    }
}

/// Rows of a stage that the tokens of some positions made.
struct Observation {
    let stage: Stage
    let rows: Matrix
    let positions: Range<Int>
    /// Whether row i is that of position i; else rows have no order, and some may be redundant.
    let isOrdered: Bool
    /// Channels of the groups that are compared sorted; nil when channels stand in their order.
    let sortedBy: Int?
    /// A basis of a space whose part is taken from candidates before they are compared, with row 0 for all positions.
    let outside: Matrix?

    init(
        _ stage: Stage, _ rows: Matrix, _ positions: Range<Int>, ordered: Bool, sortedBy: Int? = nil,
        outside: Matrix? = nil
    ) {
        self.outside = outside
        self.stage = stage
        self.rows = sortedBy.map { rows.sortingGroups(of: $0) } ?? rows
        self.positions = positions
        isOrdered = ordered && (rows.rows == positions.count || outside != nil)
        self.sortedBy = sortedBy
    }
}

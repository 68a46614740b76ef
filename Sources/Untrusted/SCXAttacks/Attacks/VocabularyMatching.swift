import SCXInference
import SCXLink

/// Finds tokens one after the other, by running the model on every candidate and comparing what each gives at a stage
/// of the model.
///
/// A4: Thomas and others, "Hidden No More", ICML 2025 (<https://arxiv.org/abs/2505.18332>), and the collision attack
/// of "Shadow in the Cache", NDSS 2026 (<https://arxiv.org/abs/2508.09442>). Candidates are tried in batches, in the
/// order of the model's own next-token probabilities, and the first that fits is taken. If the order of the rows is
/// unknown, a candidate is compared with all rows that are left; if channels are permuted, with the sorted values of
/// the heads.
public struct VocabularyMatching: Attack {
    /// With which rows the attack compares candidates.
    public enum View: String, CaseIterable, Sendable {
        /// Inputs of a block's queries, keys and values, in unknown order.
        case inputs
        /// The same rows, whose order was found by comparing views; see ``RowOrder``.
        case joinedInputs = "joined-inputs"
        /// Inputs of a block's feed-forward network, in unknown order.
        case feedForward = "feed-forward"
        /// Keys and values whose order the worker was given.
        case sharedKeysAndValues = "shared-kv"
        /// Keys and values of a block's attention, with channels permuted inside the heads.
        case attention
        /// Rows of `middle`, in clear.
        case middle
        /// The answers to `middle`.
        case answers
    }

    public let view: View
    /// The block whose rows are used; nil for the lowest that has such rows.
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
            // The rows of generated tokens are sent in clear at some place, which is better than any other view of
            // them.
            if view != .answers, let observation = try generation(step, target) {
                found.append(observation)
            } else if let observation = try observation(step, target) {
                found.append(observation)
            }
        }
        return found
    }

    /// The rows of a generated token's step, whatever the view: they are in clear from the first block on.
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

    /// The exchange of the chosen layer, or of the lowest layer that has one.
    ///
    /// The first block's inputs have noise, so for `inputs` the lowest is the second block, if there is one.
    private func exchange(_ step: Step, _ kind: MessageKind, site: Site? = nil) -> Exchange? {
        if let layer { return step.first(kind, layer: layer, site: site) }
        let all = step.exchanges.filter { $0.kind == kind && (site == nil || $0.site == site) }
            .sorted { ($0.layer ?? 0) < ($1.layer ?? 0) }
        return kind == .linear ? all.first { ($0.layer ?? 0) > 0 } ?? all.first : all.first
    }
}

/// Rows at a stage of the model, which the tokens of some positions gave.
struct Observation {
    let stage: Stage
    let rows: Matrix
    let positions: Range<Int>
    /// Whether row i belongs to position i.
    ///
    /// If not, the rows' order is unknown, and some may be redundant.
    let isOrdered: Bool
    /// The number of channels of the groups that are sorted before comparing; nil when channels are in their own
    /// order.
    let sortedBy: Int?
    /// An orthonormal basis of a space; candidates are compared by their parts outside it, with row 0 for all
    /// positions.
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

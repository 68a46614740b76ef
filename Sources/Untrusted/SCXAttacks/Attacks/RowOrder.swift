import SCXInference
import SCXLink

/// For each position its row among permuted ones, found by comparing two views of the same values.
///
/// A3. A block's values appear once with permuted rows, as the answer to `linear(_, queryKeyValue)`, and once in
/// natural order with permuted channels, in its `attention`. Sorting the values of each head makes the two
/// comparable. Rows without a partner are redundant.
public struct RowOrder: Sendable {
    /// For each position of the step its row; nil when none fits.
    public let rows: [Int?]
    /// How many rows belong to no position.
    public let redundant: Int

    /// Compares the two views of a block in a step; nil when the step does not have both.
    public init?(_ step: Step, layer: Int, _ views: Views) throws(AttackError) {
        guard let source = step.first(.linear, layer: layer, site: .queryKeyValue),
            let projected = try views.projected(of: source),
            let exchange = step.first(.attention, layer: layer),
            let attention = try views.attention(of: exchange)
        else { return nil }
        let c = views.configuration
        let start = (c.headCount + c.keyValueHeadCount) * c.headSize
        let first = projected.columns(start..<projected.columns).sortingGroups(of: c.headSize)
        // Keys of earlier turns may come before those of this step.
        let own = attention.keyPositions.count - step.positions.count
        guard own >= 0 else { return nil }
        let second = attention.values.selecting(own..<attention.values.rows).sortingGroups(of: c.headSize)
        (rows, redundant) = Self.join(first, second)
    }

    /// Pairs the rows of `second` with rows of `first`, beginning with the nearest pairs.
    static func join(_ first: Matrix, _ second: Matrix) -> (rows: [Int?], redundant: Int) {
        // Candidates are ordered by their smallest value, which sorting has put first, so that equal rows are
        // adjacent.
        let order = (0..<first.rows).sorted {
            first.values[$0 * first.columns] < first.values[$1 * first.columns]
        }
        let keys = order.map { first.values[$0 * first.columns] }
        var free = [Bool](repeating: true, count: first.rows)
        var rows: [Int?] = []
        for row in 0..<second.rows {
            let key = second.values[row * second.columns]
            let slack = 1e-2 * abs(key) + 1e-6
            var low = 0
            var high = keys.count
            while low < high {
                let middle = (low + high) / 2
                if keys[middle] < key - slack { low = middle + 1 } else { high = middle }
            }
            var best: (row: Int, distance: Float)?
            while low < keys.count, keys[low] <= key + slack {
                if free[order[low]] {
                    let d = distance(first[order[low]], second[row])
                    if d < best?.distance ?? .infinity { best = (order[low], d) }
                }
                low += 1
            }
            let length = second[row].reduce(0) { $0 + $1 * $1 }.squareRoot()
            if let best, best.distance <= 2e-2 * length {
                free[best.row] = false
                rows.append(best.row)
            } else {
                rows.append(nil)
            }
        }
        return (rows, free.count { $0 })
    }
}

/// Undoes the row permutation of every block and distinguishes redundant rows from real ones.
///
/// A3 as an attack of its own: it measures how much order and redundancy hide. ``VocabularyMatching`` finds the
/// tokens of the joined rows.
public struct JoinedViews: Attack {
    public let name = "joined-views"

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        var (linked, positions, redundant) = (0, 0, 0)
        for step in target.session.steps where step.positions.count > 1 {
            for layer in 0..<target.configuration.blockCount {
                guard let order = try RowOrder(step, layer: layer, target.views) else { continue }
                positions += order.rows.count
                linked += order.rows.count { $0 != nil }
                redundant += order.redundant
            }
        }
        guard positions > 0 else { throw .nothingToAttack("no block with two views of its values") }
        var findings: Findings
        do throws(AttackError) {
            findings = try VocabularyMatching(.joinedInputs).run(on: target)
        } catch {
            guard case .nothingToAttack = error else { throw error }
            findings = Findings()
        }
        findings.measures = [
            Measure("rows linked", Double(linked)), Measure("rows with a position", Double(positions)),
            Measure("rows found redundant", Double(redundant)),
        ]
        return findings
    }
}

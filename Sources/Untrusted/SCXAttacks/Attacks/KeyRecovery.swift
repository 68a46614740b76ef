import SCXInference
import SCXLink

/// Recovers the permutation of channels from tokens that everybody knows, and then reads the other rows in clear.
///
/// A2, known plaintext: the beginning of the text and the marks of the chat template are always known. The attack
/// compares the channels of a known token's queries, keys and values with those that the worker observed. If one
/// permutation is used for all heads, a channel's numbers over all heads and known tokens identify it.
public struct KeyRecovery: Attack {
    public let name = "known-token-key"
    private let ranks = 16

    public init() {}

    public func run(on target: Target) throws(AttackError) -> Findings {
        let (model, c) = (target.model, target.configuration)
        let vocabulary = model.projectedVocabulary()
        let values = vocabulary.columns(model.queryWidth + model.keyWidth..<vocabulary.columns)
        let index = try RowIndex(values, pool: model.pool)
        var findings = Findings()
        var (exchanges, keys) = (0, 0)
        for exchange in target.session.steps.compactMap({ $0.first(.attention, layer: 0) }) {
            guard let rows = try target.views.attention(of: exchange) else { continue }
            let known = rows.keyPositions.filter { target.known[$0] != nil }
            guard !known.isEmpty else { continue }
            exchanges += 1
            var clear = vocabulary.selecting(known.compactMap { target.known[$0] }.map { Int($0) })
            model.rotate(&clear, block: 0, positions: known, queryHeads: c.headCount)
            let seen = known.map { $0 - rows.keyPositions.lowerBound }
            let observed = rows.keys.selecting(seen).besides(rows.values.selecting(seen))
            let plain = clear.columns(model.queryWidth..<clear.columns)
            guard let orders = recover(plain: plain, observed: observed, size: c.headSize) else { continue }
            keys += 1
            let undone = rows.keys.besides(rows.values).permutingHeads(orders, size: c.headSize)
            let matches = index.nearest(
                to: undone.columns(model.keyWidth..<2 * model.keyWidth), count: ranks)
            findings.candidatesTried += undone.rows * model.vocabularySize
            for (position, row) in zip(rows.keyPositions, matches) where findings.positions[position] == nil {
                findings.positions[position] = row.map { Int32($0.row) }
            }
        }
        guard exchanges > 0 else { throw .nothingToAttack("no known token in the first block's attention") }
        findings.measures = [
            Measure("exchanges with a known token", Double(exchanges)),
            Measure("keys recovered", Double(keys)),
        ]
        return findings
    }

    /// For each head and each plain channel the observed channel that holds it; nil when none fits.
    private func recover(plain: Matrix, observed: Matrix, size: Int) -> [[Int]]? {
        let heads = plain.columns / size
        if let shared = match(plain, observed, heads: 0..<heads, size: size) {
            return [[Int]](repeating: shared, count: heads)
        }
        var orders: [[Int]] = []
        for head in 0..<heads {
            guard let order = match(plain, observed, heads: head..<head + 1, size: size) else { return nil }
            orders.append(order)
        }
        return orders
    }

    /// Pairs channels by their numbers in these heads of all known rows; nil when a pair is too far apart.
    private func match(_ plain: Matrix, _ observed: Matrix, heads: Range<Int>, size: Int) -> [Int]? {
        func signature(_ rows: Matrix, _ channel: Int) -> [Float] {
            (0..<rows.rows).flatMap { row in
                heads.map { rows.values[row * rows.columns + $0 * size + channel] }
            }
        }
        let candidates = (0..<size).map { signature(observed, $0) }
        var free = Set(0..<size)
        var order: [Int] = []
        var (error, energy): (Float, Float) = (0, 0)
        for channel in 0..<size {
            let wanted = signature(plain, channel)
            let pair = free.map { (channel: $0, distance: distance(wanted[...], candidates[$0][...])) }
                .min { ($0.distance, $0.channel) < ($1.distance, $1.channel) }
            guard let pair else { return nil }
            free.remove(pair.channel)
            order.append(pair.channel)
            error += pair.distance * pair.distance
            energy += wanted.reduce(0) { $0 + $1 * $1 }
        }
        return error < 0.01 * energy ? order : nil
    }
}

extension Matrix {
    /// Reorders the channels of each head: `out[h, c] = self[h, orders[h][c]]`.
    fileprivate func permutingHeads(_ orders: [[Int]], size: Int) -> Matrix {
        var out: [Float] = []
        out.reserveCapacity(values.count)
        for row in 0..<rows {
            for (head, order) in orders.enumerated() {
                let start = row * columns + head * size
                for channel in order { out.append(values[start + channel]) }
            }
        }
        return Matrix(rows: rows, columns: columns, values: out)
    }
}

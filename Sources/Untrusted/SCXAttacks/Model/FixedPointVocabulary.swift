import SCXInference

/// What each token's row becomes before profile `sealed` adds a pad to it at the first product: integers that everybody
/// can compute.
///
/// An embedding, a norm, and a rounding by a rule that depends on the public weights alone: an adversary who gets
/// anything of these integers, a difference of two rows or a part outside some space, finds the tokens by it.
public struct FixedPointVocabulary: Sendable {
    /// `[tokens, channels]`, row-major, modulo 2³².
    private let values: [UInt32]
    private let channels: Int
    /// Tokens in the order of their first channel, read as signed.
    private let order: [Int32]
    private let firsts: [Int32]
    /// How far the trusted side's integers may be from these: it may sum norms in another order.
    static let slack: UInt32 = 64

    public var count: Int { order.count }

    init(_ rows: Matrix, weights: PackedMatrix, pool: ThreadPool) {
        channels = rows.columns
        let norm = max(1, Double(weights.rowNorms(pool: pool).max() ?? 0).squareRoot())
        let bound = (0x1p31 - 1) / norm - Double(channels).squareRoot() / 2
        var values: [UInt32] = []
        values.reserveCapacity(rows.values.count)
        for row in 0..<rows.rows {
            let square = rows[row].reduce(0.0) { $0 + Double($1) * Double($1) }
            let exponent = square > 0 ? (bound / (square.squareRoot() * (1 + 0x1p-30))).exponent : 0
            let scale = Float(sign: .plus, exponent: Int(min(max(exponent, -126), 126)), significand: 1)
            values += rows[row].map { value in
                let rounded = (value * scale).rounded(.toNearestOrEven)
                return UInt32(bitPattern: Int32(exactly: rounded) ?? 0)
            }
        }
        self.values = values
        let channels = channels
        order = (0..<Int32(rows.rows)).sorted {
            Int32(bitPattern: values[Int($0) * channels]) < Int32(bitPattern: values[Int($1) * channels])
        }
        firsts = order.map { Int32(bitPattern: values[Int($0) * channels]) }
    }

    /// A token's integers.
    public func row(_ token: Int32) -> ArraySlice<UInt32> {
        values[Int(token) * channels..<(Int(token) + 1) * channels]
    }

    /// The token whose integers these are, but for rounding; nil when there is none.
    func token(_ row: [UInt32]) -> Int32? {
        precondition(row.count == channels, "FixedPointVocabulary: width")
        let first = Int64(Int32(bitPattern: row[0]))
        let slack = Int64(Self.slack)
        var (low, high) = (0, firsts.count)
        while low < high {
            let middle = (low + high) / 2
            if Int64(firsts[middle]) < first - slack { low = middle + 1 } else { high = middle }
        }
        while low < firsts.count, Int64(firsts[low]) <= first + slack {
            if isNear(row, self.row(order[low])) { return order[low] }
            low += 1
        }
        return nil
    }

    /// The two tokens whose rows differ by this; nil when none or several do, as for a difference of nothing.
    func pair(difference: [UInt32]) -> (first: Int32, second: Int32)? {
        guard !difference.allSatisfy({ Int32(bitPattern: $0).magnitude <= Self.slack }) else { return nil }
        var found: (first: Int32, second: Int32)?
        for first in 0..<Int32(order.count) {
            let other = zip(row(first), difference).map { $0 &- $1 }
            guard let second = token(other) else { continue }
            // Tokens that nobody trained may have equal rows, which leave the same pad.
            if let found, !isNear(Array(row(found.first)), row(first)) { return nil }
            found = found ?? (first, second)
        }
        return found
    }

    private func isNear(_ a: [UInt32], _ b: ArraySlice<UInt32>) -> Bool {
        zip(a, b).allSatisfy { Int32(bitPattern: $0 &- $1).magnitude <= Self.slack }
    }
}

import SCXInference

/// The integers to which each token's row is rounded before profile `sealed` adds a pad to it at the first product;
/// everybody can compute them.
///
/// They come from the embedding, a norm, and rounding by a rule that depends on public weights alone. An adversary
/// who learns anything about these integers, such as a difference of two rows or a part outside some space, can find
/// the tokens by it.
public struct FixedPointVocabulary: Sendable {
    /// `[tokens, channels]`, row-major, modulo 2³².
    private let values: [UInt32]
    private let channels: Int
    /// Tokens in the order of their first channel, read as a signed number.
    private let order: [Int32]
    private let firsts: [Int32]
    /// How much the trusted side's integers may differ from these, because it may add the terms of norms in another
    /// order.
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

    /// The token whose integers these are, except for rounding; nil when there is none.
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

    /// The two tokens whose rows have this difference; nil when there are none or several, as for a difference of
    /// zero.
    func pair(difference: [UInt32]) -> (first: Int32, second: Int32)? {
        guard !difference.allSatisfy({ Int32(bitPattern: $0).magnitude <= Self.slack }) else { return nil }
        var found: (first: Int32, second: Int32)?
        for first in 0..<Int32(order.count) {
            let other = zip(row(first), difference).map { $0 &- $1 }
            guard let second = token(other) else { continue }
            // Tokens that were never trained may have equal rows, with which the pad is the same.
            if let found, !isNear(Array(row(found.first)), row(first)) { return nil }
            found = found ?? (first, second)
        }
        return found
    }

    private func isNear(_ a: [UInt32], _ b: ArraySlice<UInt32>) -> Bool {
        zip(a, b).allSatisfy { Int32(bitPattern: $0 &- $1).magnitude <= Self.slack }
    }
}

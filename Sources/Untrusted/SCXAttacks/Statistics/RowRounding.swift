import SCXLink

/// How the row counts of integers were rounded up, as far as the worker can see.
enum RowRounding: Equatable {
    /// They were not rounded.
    case exact
    /// To powers of two.
    case powersOfTwo
    case multiples(of: Int)

    /// Finds the rule that all requests of a transcript follow.
    init(_ views: Views) {
        let counts = views.words.filter { $0.kind == .linearRing }.map(\.rows)
        let common = counts.reduce(0) { Self.greatestCommonDivisor($0, $1) }
        if common > 1 {
            self = .multiples(of: common)
        } else if counts.allSatisfy({ $0 > 0 && $0 & ($0 - 1) == 0 }) {
            self = .powersOfTwo
        } else {
            self = .exact
        }
    }

    /// The fewest rows that a request has.
    var least: Int { if case .multiples(let unit) = self { unit } else { 1 } }

    /// How many tokens a request with this many rows can have.
    func tokens(_ rows: Int) -> ClosedRange<Int> {
        switch self {
        case .exact: rows...rows
        case .powersOfTwo: rows / 2 + 1...max(rows, rows / 2 + 1)
        case .multiples(let unit): max(1, rows - unit + 1)...max(1, rows)
        }
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        b == 0 ? a : greatestCommonDivisor(b, a % b)
    }
}

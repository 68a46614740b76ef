/// How the row counts of requests are rounded up, so that they tell less about the lengths of prompts.
package enum RowCounts: Equatable, Sendable {
    /// Row counts are not rounded.
    case exact
    /// Row counts are rounded up to the next power of two.
    case powersOfTwo
    /// Row counts are rounded up to the next multiple of this number.
    case multiples(of: Int)

    /// The fewest rows that a request has.
    package var fewestRows: Int { padded(1) }

    /// The rounded number of rows.
    ///
    /// - Precondition: `rows` is positive.
    func padded(_ rows: Int) -> Int {
        switch self {
        case .exact: return rows
        case .powersOfTwo:
            var size = 1
            while size < rows { size *= 2 }
            return size
        case .multiples(let unit): return (rows + unit - 1) / unit * unit
        }
    }
}

/// How the row counts of requests are rounded up, so that they tell less about the lengths of prompts.
package enum RowCounts: Equatable, Sendable {
    /// They are not rounded.
    case exact
    /// To the next power of two.
    case powersOfTwo
    /// To the next multiple.
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

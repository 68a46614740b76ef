/// Rows of numbers, row-major.
public struct Matrix: Equatable, Sendable {
    public let rows: Int
    public let columns: Int
    public var values: [Float]

    /// Makes a matrix of these values.
    ///
    /// - Precondition: There are `rows · columns` values.
    public init(rows: Int, columns: Int, values: [Float]) {
        precondition(rows >= 0 && columns > 0 && values.count == rows * columns, "Matrix: shape")
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// Makes a matrix of whole rows.
    public init(columns: Int, values: [Float]) {
        self.init(rows: values.count / columns, columns: columns, values: values)
    }

    public subscript(row: Int) -> ArraySlice<Float> { values[row * columns..<(row + 1) * columns] }

    /// Copies some of its rows, in the order of the indices.
    public func selecting(_ rows: some Collection<Int>) -> Matrix {
        var out: [Float] = []
        out.reserveCapacity(rows.count * columns)
        for row in rows { out += self[row] }
        return Matrix(rows: rows.count, columns: columns, values: out)
    }

    /// Copies some of its columns.
    public func columns(_ range: Range<Int>) -> Matrix {
        var out: [Float] = []
        out.reserveCapacity(rows * range.count)
        for row in 0..<rows {
            let start = row * columns
            out += values[start + range.lowerBound..<start + range.upperBound]
        }
        return Matrix(rows: rows, columns: range.count, values: out)
    }

    /// These rows, followed by those of another matrix of the same width.
    public func appending(_ other: Matrix) -> Matrix {
        Matrix(rows: rows + other.rows, columns: columns, values: values + other.values)
    }

    /// The matrix with each row's groups of `size` channels sorted, which is what a permutation inside heads does not
    /// change.
    ///
    /// - Precondition: `size` divides the columns.
    public func sortingGroups(of size: Int) -> Matrix {
        precondition(size > 0 && columns % size == 0, "Matrix: groups")
        var out: [Float] = []
        out.reserveCapacity(values.count)
        for start in stride(from: 0, to: values.count, by: size) {
            out += values[start..<start + size].sorted()
        }
        return Matrix(rows: rows, columns: columns, values: out)
    }

    /// The Euclidean norm of each group of `size` channels, which is what an orthogonal map of each head does not
    /// change.
    public func normsOfGroups(of size: Int) -> Matrix {
        precondition(size > 0 && columns % size == 0, "Matrix: groups")
        let norms = stride(from: 0, to: values.count, by: size).map { start in
            values[start..<start + size].reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
        return Matrix(rows: rows, columns: columns / size, values: norms)
    }

    /// The squared length of each row.
    public var squares: [Float] { (0..<rows).map { self[$0].reduce(0) { $0 + $1 * $1 } } }

    /// The mean of each column.
    public var mean: [Float] {
        var sums = [Double](repeating: 0, count: columns)
        for row in 0..<rows {
            for c in 0..<columns { sums[c] += Double(values[row * columns + c]) }
        }
        return sums.map { Float($0 / Double(max(1, rows))) }
    }

    /// The matrix with a vector subtracted from each row.
    public func subtracting(_ vector: [Float]) -> Matrix {
        precondition(vector.count == columns, "Matrix: vector")
        var out = values
        for row in 0..<rows {
            for c in 0..<columns { out[row * columns + c] -= vector[c] }
        }
        return Matrix(rows: rows, columns: columns, values: out)
    }
}

/// The Euclidean distance of two rows.
func distance(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Float {
    var sum: Float = 0
    for (x, y) in zip(a, b) { sum += (x - y) * (x - y) }
    return sum.squareRoot()
}

public import SCXInference

/// Finds among many rows those nearest to a query, by matrix products.
///
/// `‖q − r‖² = ‖q‖² + ‖r‖² − 2 q·r` over all rows takes one product; the distances of the best rows are then computed
/// exactly. The mean of all rows is subtracted first, since it is most of a hidden state and would hide the
/// differences.
public final class RowIndex: Sendable {
    /// A row that was found, and its distance from the query.
    public struct Match: Equatable, Sendable {
        public let row: Int
        public let distance: Float
    }

    public let rows: Matrix
    private let centre: [Float]
    private let packed: PackedMatrix
    /// `−‖r‖²` of each row.
    private let negativeSquares: [Float]
    private let pool: ThreadPool

    /// Makes an index.
    ///
    /// - Precondition: There are rows.
    public init(_ rows: Matrix, pool: ThreadPool) throws(AttackError) {
        precondition(rows.rows > 0, "RowIndex: no rows")
        centre = rows.mean
        let centred = rows.subtracting(centre)
        self.rows = centred
        self.pool = pool
        do throws(KernelError) {
            packed = try PackedMatrix(rows: rows.rows, columns: rows.columns, format: .f32)
        } catch {
            throw .memory("\(error)")
        }
        unsafe packed.pack(centred.values.span.bytes, as: .f32, firstRow: 0, count: rows.rows, pool: pool)
        negativeSquares = centred.squares.map { -$0 }
    }

    /// For each query the nearest rows, nearest first.
    public func nearest(to queries: Matrix, count: Int) -> [[Match]] {
        precondition(queries.columns == rows.columns, "RowIndex: width of queries")
        var all: [[Match]] = []
        all.reserveCapacity(queries.rows)
        let batch = max(1, min(64, (1 << 24) / rows.rows))
        for first in stride(from: 0, to: queries.rows, by: batch) {
            let chunk = queries.selecting(first..<min(first + batch, queries.rows)).subtracting(centre)
            let scores = self.scores(of: chunk)
            for q in 0..<chunk.rows {
                let best = topK(scores.span.extracting(q * rows.rows..<(q + 1) * rows.rows), count + 16)
                let matches = best.map { Match(row: $0.index, distance: distance(chunk[q], rows[$0.index])) }
                all.append(Array(matches.sorted { $0.distance < $1.distance }.prefix(count)))
            }
        }
        return all
    }

    /// The distance of each query to each row, `[queries, rows]`, with an error of about a thousandth of their
    /// lengths.
    func distances(to queries: Matrix) -> Matrix {
        let centred = queries.subtracting(centre)
        var values = scores(of: centred)
        for (q, square) in centred.squares.enumerated() {
            for r in 0..<rows.rows {
                values[q * rows.rows + r] = max(0, square - values[q * rows.rows + r]).squareRoot()
            }
        }
        return Matrix(rows: queries.rows, columns: rows.rows, values: values)
    }

    /// The exact distance of a query to a row.
    func distance(of query: ArraySlice<Float>, to row: Int) -> Float {
        distance(Matrix(columns: rows.columns, values: Array(query)).subtracting(centre)[0], rows[row])
    }

    /// The values `2 q·r − ‖r‖²`, which order rows by their distance to q.
    private func scores(of queries: Matrix) -> [Float] {
        let doubled = queries.values.map { 2 * $0 }
        var scores = [Float](repeating: 0, count: queries.rows * rows.rows)
        var span = scores.mutableSpan
        let bias = negativeSquares
        linear(
            doubled.span, packed, bias: bias.span, into: &span, tokens: queries.rows, pool: pool)
        return scores
    }

    private func distance(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Float {
        SCXAttacks.distance(a, b)
    }
}

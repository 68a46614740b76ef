import SCXInference

/// Calls `body` for every row of two buffers, on several threads if there are many rows.
///
/// - Parameters:
///   - rows: How many rows both buffers have.
///   - first: `[rows, firstWidth]`; a call gets its own row only.
///   - firstWidth: Elements of a row of `first`.
///   - second: `[rows, secondWidth]`
///   - secondWidth: Elements of a row of `second`.
///   - pool: Threads that share the rows. With nil, or with few rows, all runs on the calling thread.
///   - body: Gets a row's number and its part of both buffers.
/// - Precondition: The buffers have these rows.
func forEachRow<First, Second>(
    _ rows: Int, _ first: inout MutableSpan<First>, width firstWidth: Int,
    _ second: inout MutableSpan<Second>,
    width secondWidth: Int, pool: ThreadPool?,
    _ body: (_ row: Int, _ first: inout MutableSpan<First>, _ second: inout MutableSpan<Second>) -> Void
) {
    precondition(
        first.count == rows * firstWidth && second.count == rows * secondWidth, "forEachRow: shapes")
    unsafe first.withUnsafeMutableBufferPointer { first in
        unsafe second.withUnsafeMutableBufferPointer { second in
            func call(_ row: Int) {
                // Rows do not overlap, so no two calls share an element.
                var a = unsafe MutableSpan(
                    _unsafeElements: first.extracting(row * firstWidth..<(row + 1) * firstWidth))
                var b = unsafe MutableSpan(
                    _unsafeElements: second.extracting(row * secondWidth..<(row + 1) * secondWidth))
                body(row, &a, &b)
            }
            if let pool, rows >= 8 { pool.run(rows, call) } else { for row in 0..<rows { call(row) } }
        }
    }
}

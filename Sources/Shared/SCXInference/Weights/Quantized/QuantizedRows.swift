/// Reads rows of a matrix whose numbers are computed from codes and scales.
///
/// Shapes and ranges were checked against the files when the tensor was asked for, so that reading cannot fail.
protocol QuantizedRows: Sendable {
    /// Numbers of a row.
    var columns: Int { get }

    /// Computes rows.
    ///
    /// - Parameters:
    ///   - rows: Which rows; those of a tensor with more than two dimensions are counted through.
    ///   - values: Result, `[rows.count, columns]`, row-major, overwritten.
    /// - Precondition: The rows exist, and `values` has room for exactly their numbers.
    func read(_ rows: Range<Int>, into values: UnsafeMutableBufferPointer<Float>)

    /// Gives the memory of what was read beside the codes (scales and the like) back to the system.
    func discard()
}

extension QuantizedRows {
    func discard() {}
}

extension StoredTensor {
    /// All numbers of a quantised tensor.
    func quantizedValues() -> [Float] {
        guard let quantized else { return [] }
        let count = shape.reduce(1, *)
        return unsafe [Float](unsafeUninitializedCapacity: count) { values, initialized in
            unsafe quantized.read(
                0..<count / quantized.columns, into: UnsafeMutableBufferPointer(rebasing: values[..<count]))
            initialized = count
        }
    }

    /// Packs rows of a quantised matrix, sixteen at a time, so that the numbers of few rows are held at once.
    ///
    /// - Parameters:
    ///   - rows: The rows of this tensor.
    ///   - weights: Receives them.
    ///   - first: The row of `weights` that gets the first one.
    ///   - pool: Threads that share the work.
    /// - Precondition: The tensor is quantised, all rows exist, and `weights` has as many columns.
    func packQuantized(_ rows: Range<Int>, into weights: PackedMatrix, at first: Int, pool: ThreadPool) {
        guard let quantized, !rows.isEmpty else { return }
        precondition(quantized.columns == weights.columns, "StoredTensor: other columns")
        // Sixteen rows of `weights` lie together and are packed by one thread.
        let panels = first / 16..<(first + rows.count + 15) / 16
        pool.run(panels.count) { index in
            let panel = panels.lowerBound + index
            let own = max(first, panel * 16)..<min(first + rows.count, panel * 16 + 16)
            let stored = rows.lowerBound + own.lowerBound - first
            let count = own.count * quantized.columns
            let values = unsafe [Float](unsafeUninitializedCapacity: count) { values, initialized in
                unsafe quantized.read(
                    stored..<stored + own.count,
                    into: UnsafeMutableBufferPointer(rebasing: values[..<count]))
                initialized = count
            }
            unsafe weights.pack(
                values.span.bytes, as: .f32, firstRow: own.lowerBound, count: own.count, pool: pool)
        }
    }
}

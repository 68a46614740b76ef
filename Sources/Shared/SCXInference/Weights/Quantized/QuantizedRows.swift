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

    /// Packs columns of a quantised matrix that is stored `[inputs, outputs]`.
    ///
    /// - Parameters:
    ///   - columns: The columns of this tensor, which become rows.
    ///   - inputs: The rows of this tensor that belong to the matrix.
    ///   - weights: Receives them.
    ///   - first: The row of `weights` that gets the first one.
    ///   - pool: Threads that share the work.
    /// - Precondition: The tensor is quantised, all rows and columns exist, and `weights` has a column for each input.
    func packTurned(
        _ columns: Range<Int>, inputs: Range<Int>, into weights: PackedMatrix, at first: Int, pool: ThreadPool
    ) {
        guard let quantized, !columns.isEmpty else { return }
        precondition(inputs.count == weights.columns, "StoredTensor: other inputs")
        let width = quantized.columns
        let values = unsafe [Float](unsafeUninitializedCapacity: inputs.count * width) {
            values, initialized in
            unsafe quantized.read(
                inputs, into: UnsafeMutableBufferPointer(rebasing: values[..<(inputs.count * width)]))
            initialized = inputs.count * width
        }
        var turned = [Float](repeating: 0, count: columns.count * inputs.count)
        for (row, column) in columns.enumerated() {
            for input in inputs.indices {
                let place = input - inputs.lowerBound
                turned[row * inputs.count + place] = values[place * width + column]
            }
        }
        unsafe weights.pack(
            turned.span.bytes, as: .f32, firstRow: first, count: columns.count, pool: pool)
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

import SCXLink

/// Laplace noise α for rows, and αW, its product with the weights by which the rows will be multiplied.
///
/// Both are exact: α is rounded to the steps of a ``NoiseGrid``, and αW is a float64. The key that uses the noise
/// consumes it.
package struct OneTimeNoise: ~Copyable, Sendable {
    /// The scale of the distribution and the step of its values.
    package let grid: NoiseGrid
    /// α, `[rows, inputs]`.
    let values: Plaintext
    /// αW, `[rows, outputs]`.
    let product: SecretBuffer<Double>

    /// Draws noise.
    ///
    /// - Parameters:
    ///   - rows: How many rows.
    ///   - inputs: Channels of a row.
    ///   - outputs: Channels of its product.
    ///   - grid: Scale of the distribution, whose standard deviation is √2 times it, and the step of its values.
    ///   - random: The generator of keys.
    ///   - multiply: Computes αW.
    package init(
        rows: Int, inputs: Int, outputs: Int, grid: NoiseGrid, random: inout SecureRandom,
        multiply: (Span<Float>, inout MutableSpan<Double>) -> Void
    ) {
        var values = Plaintext(rows: rows, channels: inputs)
        var product = SecretBuffer<Double>(repeating: 0, count: rows * outputs)
        var span = values.values
        for i in span.indices { span[i] = grid.noise(&random) }
        var out = product.mutableSpan
        multiply(values.span, &out)
        self.init(grid: grid, values: values, product: product)
    }

    /// Rounds the rows of `out` whose numbers are in `places`, and adds α to them.
    borrowing func add(to out: inout MutableSpan<Float>, rows: Int, channels: Int, at places: Span<UInt32>) {
        precondition(values.rows == rows && values.channels == channels, "OneTimeNoise: for other rows")
        let noise = values.span
        for row in 0..<rows {
            let (place, from) = (Int(places[row]) * channels, row * channels)
            for c in 0..<channels { out[place + c] = grid.cut(out[place + c]) + noise[from + c] }
        }
    }

    /// Subtracts αW from the products of rows to which α was added, which are those of `answer` in `places`.
    ///
    /// - Returns: `[rows, outputs]`, rounded to float32.
    borrowing func withoutProduct(
        _ answer: Float64Tensor, rows: Int, at places: Span<UInt32>
    ) -> Plaintext {
        let channels = answer.channels
        precondition(product.count == rows * channels, "OneTimeNoise: other products")
        var plain = Plaintext(rows: rows, channels: channels)
        var out = plain.values
        let (values, product) = (answer.values.span, product.span)
        for row in 0..<rows {
            let (place, to) = (Int(places[row]) * channels, row * channels)
            for c in 0..<channels { out[to + c] = Float(values[place + c] - product[to + c]) }
        }
        return plain
    }

    private init(grid: NoiseGrid, values: consuming Plaintext, product: consuming SecretBuffer<Double>) {
        self.grid = grid
        self.values = values
        self.product = product
    }
}

/// Noise that was drawn ahead of need and is handed out row by row, each row once.
///
/// Not thread-safe.
package final class NoiseStock {
    private let grid: NoiseGrid
    private let inputs: Int
    private let outputs: Int
    private var batches: [Batch] = []
    /// How many rows are left.
    package private(set) var count = 0

    private final class Batch {
        let rows: Int
        var values: Plaintext
        var product: SecretBuffer<Double>
        var next = 0

        init(_ noise: consuming OneTimeNoise) {
            rows = noise.values.rows
            values = noise.values
            product = noise.product
        }

        /// Erases a row that was handed out.
        func erase(_ row: Int, outputs: Int) {
            values.withRow(row) { span in for c in span.indices { span[c] = 0 } }
            product.erase(row * outputs..<(row + 1) * outputs)
        }
    }

    package init(inputs: Int, outputs: Int, grid: NoiseGrid) {
        self.grid = grid
        self.inputs = inputs
        self.outputs = outputs
    }

    /// Adds noise to the stock.
    package func add(_ noise: consuming OneTimeNoise) {
        precondition(
            noise.values.channels == inputs && noise.product.count == noise.values.rows * outputs
                && noise.grid == grid, "NoiseStock: other noise")
        count += noise.values.rows
        batches.append(Batch(noise))
    }

    /// Takes rows from the stock, and erases them there.
    ///
    /// - Precondition: The stock has as many rows.
    package func take(_ rows: Int) -> OneTimeNoise {
        precondition(rows <= count, "NoiseStock: not enough rows")
        count -= rows
        return OneTimeNoise(moving: rows, inputs: inputs, outputs: outputs, grid: grid) { values, product in
            var done = 0
            while done < rows {
                let batch = batches[0]
                let part = min(rows - done, batch.rows - batch.next)
                for row in 0..<part {
                    let from = batch.next + row
                    copyRow(from, of: batch.values.span, to: done + row, of: &values, channels: inputs)
                    copyRow(from, of: batch.product.span, to: done + row, of: &product, channels: outputs)
                    batch.erase(from, outputs: outputs)
                }
                batch.next += part
                done += part
                if batch.next == batch.rows { batches.removeFirst() }
            }
        }
    }
}

extension OneTimeNoise {
    fileprivate init(
        moving rows: Int, inputs: Int, outputs: Int, grid: NoiseGrid,
        _ fill: (inout MutableSpan<Float>, inout MutableSpan<Double>) -> Void
    ) {
        var values = Plaintext(rows: rows, channels: inputs)
        var product = SecretBuffer<Double>(repeating: 0, count: rows * outputs)
        var valueSpan = values.values
        var productSpan = product.mutableSpan
        fill(&valueSpan, &productSpan)
        self.init(grid: grid, values: values, product: product)
    }
}

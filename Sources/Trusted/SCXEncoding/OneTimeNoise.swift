/// Laplace noise α for rows, and αW, its product with the weights by which the rows will be multiplied.
///
/// The key that uses the noise consumes it.
package struct OneTimeNoise: ~Copyable, Sendable {
    /// The scale of the distribution.
    package let scale: Float
    /// α, `[rows, inputs]`.
    let values: Plaintext
    /// αW, `[rows, outputs]`.
    let product: Plaintext

    /// Draws noise.
    ///
    /// - Parameters:
    ///   - rows: How many rows.
    ///   - inputs: Channels of a row.
    ///   - outputs: Channels of its product.
    ///   - scale: Scale of the distribution; the standard deviation is √2 times it.
    ///   - random: The generator of keys.
    ///   - multiply: Computes αW.
    package init(
        rows: Int, inputs: Int, outputs: Int, scale: Float, random: inout SecureRandom,
        multiply: (Span<Float>, inout MutableSpan<Float>) -> Void
    ) {
        var values = Plaintext(rows: rows, channels: inputs)
        var product = Plaintext(rows: rows, channels: outputs)
        var span = values.values
        for i in span.indices { span[i] = random.laplace(scale: scale) }
        var out = product.values
        multiply(values.span, &out)
        self.init(scale: scale, values: values, product: product)
    }

    /// Adds α to the rows of `out` whose numbers are in `places`.
    borrowing func add(to out: inout MutableSpan<Float>, rows: Int, channels: Int, at places: Span<UInt32>) {
        precondition(values.rows == rows && values.channels == channels, "OneTimeNoise: for other rows")
        let noise = values.span
        for row in 0..<rows {
            let (place, from) = (Int(places[row]) * channels, row * channels)
            for c in 0..<channels { out[place + c] += noise[from + c] }
        }
    }

    /// Subtracts αW from the products of rows to which α was added.
    borrowing func subtractProduct(from out: inout MutableSpan<Float>, rows: Int, channels: Int) {
        precondition(product.rows == rows && product.channels == channels, "OneTimeNoise: other products")
        let product = product.span
        for i in out.indices { out[i] -= product[i] }
    }

    private init(scale: Float, values: consuming Plaintext, product: consuming Plaintext) {
        self.scale = scale
        self.values = values
        self.product = product
    }
}

/// Noise that was drawn ahead of need and is handed out row by row, each row once.
///
/// Not thread-safe.
package final class NoiseStock {
    private let scale: Float
    private let inputs: Int
    private let outputs: Int
    private var batches: [Batch] = []
    /// How many rows are left.
    package private(set) var count = 0

    private final class Batch {
        var values: Plaintext
        var product: Plaintext
        var next = 0

        init(_ noise: consuming OneTimeNoise) {
            values = noise.values
            product = noise.product
        }
    }

    package init(inputs: Int, outputs: Int, scale: Float) {
        self.scale = scale
        self.inputs = inputs
        self.outputs = outputs
    }

    /// Adds noise to the stock.
    package func add(_ noise: consuming OneTimeNoise) {
        precondition(
            noise.values.channels == inputs && noise.product.channels == outputs && noise.scale == scale,
            "NoiseStock: other noise")
        count += noise.values.rows
        batches.append(Batch(noise))
    }

    /// Takes rows from the stock, and erases them there.
    ///
    /// - Precondition: The stock has as many rows.
    package func take(_ rows: Int) -> OneTimeNoise {
        precondition(rows <= count, "NoiseStock: not enough rows")
        count -= rows
        return OneTimeNoise(moving: rows, inputs: inputs, outputs: outputs, scale: scale) { values, product in
            var done = 0
            while done < rows {
                let batch = batches[0]
                let part = min(rows - done, batch.values.rows - batch.next)
                for row in 0..<part {
                    let from = batch.next + row
                    copyRow(from, of: batch.values.span, to: done + row, of: &values, channels: inputs)
                    copyRow(from, of: batch.product.span, to: done + row, of: &product, channels: outputs)
                    batch.values.erase(row: from)
                    batch.product.erase(row: from)
                }
                batch.next += part
                done += part
                if batch.next == batch.values.rows { batches.removeFirst() }
            }
        }
    }
}

extension OneTimeNoise {
    fileprivate init(
        moving rows: Int, inputs: Int, outputs: Int, scale: Float,
        _ fill: (inout MutableSpan<Float>, inout MutableSpan<Float>) -> Void
    ) {
        var values = Plaintext(rows: rows, channels: inputs)
        var product = Plaintext(rows: rows, channels: outputs)
        var valueSpan = values.values
        var productSpan = product.values
        fill(&valueSpan, &productSpan)
        self.init(scale: scale, values: values, product: product)
    }
}

extension Plaintext {
    fileprivate mutating func erase(row: Int) {
        withRow(row) { span in for c in span.indices { span[c] = 0 } }
    }
}

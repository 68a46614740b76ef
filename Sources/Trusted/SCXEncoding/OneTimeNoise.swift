/// Laplace noise for rows, with its product with the weights that the rows will meet: α and αW.
///
/// Consumed by the key that carries it.
package struct OneTimeNoise: ~Copyable, Sendable {
    package let scale: Float
    /// α, `[rows, inputs]`.
    let values: Plaintext
    /// αW, `[rows, outputs]`.
    let product: Plaintext

    /// Draws noise.
    ///
    /// - Parameters:
    ///   - rows: How many.
    ///   - inputs: Channels of a row.
    ///   - outputs: Channels of its product.
    ///   - scale: Of the distribution; the standard deviation is √2 times it.
    ///   - random: The generator of keys.
    ///   - multiply: Writes αW.
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

    /// Adds α to rows that lie at `places`.
    borrowing func add(to out: inout MutableSpan<Float>, rows: Int, channels: Int, at places: Span<UInt32>) {
        precondition(values.rows == rows && values.channels == channels, "OneTimeNoise: for other rows")
        let noise = values.span
        for row in 0..<rows {
            let (place, from) = (Int(places[row]) * channels, row * channels)
            for c in 0..<channels { out[place + c] += noise[from + c] }
        }
    }

    /// Takes αW from the products of rows that α was added to.
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

/// Noise drawn ahead, handed out row by row, each row once.
///
/// Not thread-safe.
package final class NoiseStock {
    private let scale: Float
    private let inputs: Int
    private let outputs: Int
    private var batches: [Batch] = []
    /// Rows that are left.
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

    /// Adds noise to what is in stock.
    package func add(_ noise: consuming OneTimeNoise) {
        precondition(
            noise.values.channels == inputs && noise.product.channels == outputs && noise.scale == scale,
            "NoiseStock: other noise")
        count += noise.values.rows
        batches.append(Batch(noise))
    }

    /// Takes rows out, and erases them here.
    ///
    /// - Precondition: As many are in stock.
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

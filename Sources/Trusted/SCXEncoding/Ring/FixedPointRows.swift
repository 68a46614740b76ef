package import SCXInference

/// Rows of activations as integers, where each row has an exponent a of its own: x ≈ x̂ · 2^−a.
package struct FixedPointRows: ~Copyable, Sendable {
    package let rows: Int
    package let channels: Int
    /// The integers, `[rows, channels]`.
    private let integers: SecretBuffer<Int32>
    /// `[rows]`: 2^−a.
    ///
    /// For a row with a value that is not finite it is NaN, and the row's integers are 0.
    private let scales: SecretBuffer<Float>

    /// Rounds rows to integers for a site.
    ///
    /// - Parameters:
    ///   - values: Rows of the site's inputs.
    ///   - site: The site; its bound determines the exponents.
    ///   - pool: Threads that share the rows; nil for the calling one alone.
    package init(_ values: borrowing Plaintext, for site: RingSite, pool: ThreadPool?) {
        precondition(values.channels == site.inputs, "FixedPointRows: not the site's inputs")
        (rows, channels) = (values.rows, values.channels)
        var integers = SecretBuffer<Int32>(repeating: 0, count: rows * channels)
        var scales = SecretBuffer<Float>(repeating: 0, count: rows)
        var out = integers.mutableSpan
        var factors = scales.mutableSpan
        let channels = channels
        let source = values.span
        forEachRow(rows, &out, width: channels, &factors, width: 1, pool: pool) { row, integers, scale in
            let x = source.extracting(row * channels..<(row + 1) * channels)
            let squares = sumOfSquares(x)
            guard squares.isFinite else {
                scale[0] = .nan
                return
            }
            let exponent = site.exponent(sumOfSquares: squares)
            fixedEncode(x, scale: Float(sign: .plus, exponent: exponent, significand: 1), into: &integers)
            scale[0] = Float(sign: .plus, exponent: -exponent, significand: 1)
        }
        self.integers = integers
        self.scales = scales
    }

    /// `[rows, channels]`, row-major.
    package var span: Span<Int32> {
        @_lifetime(borrow self) get { integers.span }
    }

    /// `[rows]`: the factor of each row's integers.
    var rowScales: Span<Float> {
        @_lifetime(borrow self) get { scales.span }
    }

    /// Converts a product to results in clear, `y · 2^−a · s_j + b_j`, without a check.
    ///
    /// - Parameters:
    ///   - product: `[rows, outputs]`, the integers x̂ Ŵ.
    ///   - site: The site whose product it is.
    ///   - pool: Threads that share the rows.
    /// - Returns: `[rows, outputs]`
    package borrowing func values(
        ofProduct product: Span<UInt32>, _ site: RingSite, pool: ThreadPool?
    ) -> Plaintext {
        precondition(product.count == rows * site.outputs, "FixedPointRows: not the site's outputs")
        var result = Plaintext(rows: rows, channels: site.outputs)
        var scratch = SecretBuffer<Int32>(repeating: 0, count: rows * site.outputs)
        var out = result.values
        var integers = scratch.mutableSpan
        let scales = scales.span
        let (columnScales, bias) = (site.scales, site.bias)
        forEachRow(rows, &out, width: site.outputs, &integers, width: site.outputs, pool: pool) {
            row, values, y in
            fixedDecode(
                product.extracting(row * site.outputs..<(row + 1) * site.outputs), product: Span(),
                columnScales: columnScales.span, scale: scales[row], bias: bias.span, into: &y, &values)
        }
        return result
    }

    /// Computes a product on the trusted side and without pads, as profile `sealed` computes it with a worker.
    ///
    /// - Parameters:
    ///   - site: The site by whose integers the rows are multiplied.
    ///   - pool: Threads that share the rows.
    ///   - multiply: Computes `[rows, outputs]` modulo 2³² from `[rows, inputs]`.
    /// - Returns: `[rows, outputs]`
    /// - Throws: What `multiply` throws.
    package borrowing func multiplied<Failure: Error>(
        _ site: RingSite, pool: ThreadPool?,
        by multiply: (Span<UInt32>) throws(Failure) -> SecretBuffer<UInt32>
    ) throws(Failure) -> Plaintext {
        var words = SecretBuffer<UInt32>(repeating: 0, count: rows * channels)
        var out = words.mutableSpan
        ringAdd(span, into: &out)
        let product = try multiply(words.span)
        return values(ofProduct: product.span, site, pool: pool)
    }
}

package import SCXInference

/// Rows of activations as integers, where each row has an exponent a of its own: x ≈ x̂ · 2^−a.
///
/// The groups of a site with several matrices have an exponent each, since a row then has the activations of other
/// tokens in each of its groups.
package struct FixedPointRows: ~Copyable, Sendable {
    package let rows: Int
    package let channels: Int
    /// The integers, `[rows, channels]`.
    private let integers: SecretBuffer<Int32>
    /// The groups of the site whose channels the rows have, in this order; a site of one matrix has one.
    package let groups: [Int]
    /// `[rows, groups]`: 2^−a.
    ///
    /// Where a value is not finite it is NaN, and the integers are 0.
    private let scales: SecretBuffer<Float>

    /// Rounds rows to integers for a site.
    ///
    /// - Parameters:
    ///   - values: Rows of the site's inputs.
    ///   - site: The site; its bounds determine the exponents.
    ///   - chosen: The groups of the site whose inputs the rows have; nil for all.
    ///   - pool: Threads that share the rows; nil for the calling one alone.
    package init(
        _ values: borrowing Plaintext, for site: RingSite, groups chosen: [Int]? = nil, pool: ThreadPool?
    ) {
        let groups = chosen ?? Array(0..<site.groups)
        let (width, count) = (site.groupInputs, groups.count)
        precondition(values.channels == count * width, "FixedPointRows: not the site's inputs")
        (rows, channels) = (values.rows, values.channels)
        var integers = SecretBuffer<Int32>(repeating: 0, count: rows * channels)
        var scales = SecretBuffer<Float>(repeating: 0, count: rows * count)
        var out = integers.mutableSpan
        var factors = scales.mutableSpan
        let source = values.span
        forEachRow(rows * count, &out, width: width, &factors, width: 1, pool: pool) {
            part, integers, scale in
            let x = source.extracting(part * width..<(part + 1) * width)
            let squares = sumOfSquares(x)
            guard squares.isFinite else {
                scale[0] = .nan
                return
            }
            let exponent = site.exponent(sumOfSquares: squares, group: groups[part % count])
            fixedEncode(x, scale: Float(sign: .plus, exponent: exponent, significand: 1), into: &integers)
            scale[0] = Float(sign: .plus, exponent: -exponent, significand: 1)
        }
        self.integers = integers
        self.scales = scales
        self.groups = groups
    }

    /// `[rows, channels]`, row-major.
    package var span: Span<Int32> {
        @_lifetime(borrow self) get { integers.span }
    }

    /// `[rows, groups]`: the factors of the integers.
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
        let (width, groups) = (site.groupOutputs, groups)
        precondition(product.count == rows * groups.count * width, "FixedPointRows: not the site's outputs")
        var result = Plaintext(rows: rows, channels: groups.count * width)
        var scratch = SecretBuffer<Int32>(repeating: 0, count: product.count)
        var out = result.values
        var integers = scratch.mutableSpan
        let scales = scales.span
        let (columnScales, bias) = (site.scales, site.bias)
        forEachRow(rows * groups.count, &out, width: width, &integers, width: width, pool: pool) {
            part, values, y in
            let channels = site.outputs(ofGroup: groups[part % groups.count])
            fixedDecode(
                product.extracting(part * width..<(part + 1) * width), product: Span(),
                columnScales: columnScales.span.extracting(channels), scale: scales[part],
                bias: bias.isEmpty ? Span() : bias.span.extracting(channels), into: &y, &values)
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

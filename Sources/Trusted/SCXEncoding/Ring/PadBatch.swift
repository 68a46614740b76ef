import SCXLink

/// Prepared pads of one site: a seed, and the products of the rows that it expands to.
///
/// Its rows are handed out once each, from the first on, by the ``PadBank`` that holds it.
final class PadBatch: @unchecked Sendable {
    let seed: PadSeed
    let site: RingSite
    /// The number of the bank's source that multiplied them.
    let source: Int
    let count: Int
    /// `[count, outputs]`: ρŴ modulo 2³². As secret as the results that it is subtracted from.
    private let products: SecretBuffer<UInt32>
    /// Rows handed out so far; the bank's lock guards it.
    private var taken: Int

    /// - Precondition: The products are whole rows of the site's outputs.
    init(seed: PadSeed, site: RingSite, source: Int, products: consuming SecretBuffer<UInt32>) {
        precondition(products.count % site.outputs == 0, "PadBatch: products are not whole rows")
        self.seed = seed
        self.site = site
        self.source = source
        count = products.count / site.outputs
        self.products = products
        taken = 0
    }

    /// Rows not handed out.
    var left: Int { count - taken }

    var byteCount: Int { products.count * 4 }

    /// Hands out the next rows: never the same one twice.
    ///
    /// - Returns: As many as there are, at most `limit`.
    func take(_ limit: Int) -> Range<Int> {
        let first = taken
        taken = min(count, taken + limit)
        return first..<taken
    }

    /// Lends the product of one row's pad, `[outputs]`.
    func withProduct<Result>(_ row: Int, _ body: (Span<UInt32>) -> Result) -> Result {
        products.withFirst(products.count) {
            body($0.extracting(row * site.outputs..<(row + 1) * site.outputs))
        }
    }
}

import SCXLink

/// Prepared pads of one site: a seed, and the products of consecutive rows that it expands to.
///
/// Its rows are handed out once each, from the first on, by the ``PadBank`` that holds it.
final class PadBatch: @unchecked Sendable {
    private let seed: PadSeed
    /// The number among the seed's rows of the first of these.
    private let first: Int
    let site: RingSite
    /// The number in the bank of who multiplied them.
    let source: Int
    /// Whether it lay on disk.
    let isStored: Bool
    let count: Int
    /// ρŴ modulo 2³², `[count, outputs]`.
    ///
    /// As secret as the results that it is subtracted from.
    private let products: SecretBuffer<UInt32>
    /// Rows handed out so far; the bank's lock guards it.
    private var taken: Int

    /// - Precondition: The products are whole rows of the site's outputs.
    init(
        seed: PadSeed, first: Int = 0, site: RingSite, source: Int, isStored: Bool = false,
        products: consuming SecretBuffer<UInt32>
    ) {
        precondition(products.count % site.outputs == 0, "PadBatch: products are not whole rows")
        self.seed = seed
        self.first = first
        self.site = site
        self.source = source
        self.isStored = isStored
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

    /// Writes the pad of one row, `[inputs]`.
    func expand(_ row: Int, into words: inout MutableSpan<UInt32>) {
        seed.expand(row: UInt64(first + row), into: &words)
    }

    /// Lends the product of one row's pad, `[outputs]`.
    func withProduct<Result>(_ row: Int, _ body: (Span<UInt32>) -> Result) -> Result {
        products.withFirst(products.count) {
            body($0.extracting(row * site.outputs..<(row + 1) * site.outputs))
        }
    }
}

import SCXLink

/// Prepared pads of one site: a seed, and the products of the pads of consecutive rows.
///
/// The ``PadBank`` that owns the batch hands out each row once, from the first on.
final class PadBatch: @unchecked Sendable {
    private let seed: PadSeed
    /// The number, among all rows of the seed, of the batch's first row.
    private let first: Int
    let site: RingSite
    /// The number, in the bank, of the source that multiplied the pads.
    let source: Int
    /// Whether the batch was loaded from disk.
    let isStored: Bool
    let count: Int
    /// The products of the pads, ρŴ modulo 2³², `[count, outputs]`.
    ///
    /// They are as secret as the results from which they are subtracted.
    private let products: SecretBuffer<UInt32>
    /// How many rows were handed out so far; the bank's lock guards this.
    private var taken: Int

    /// Makes a batch.
    ///
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

    /// How many rows were not handed out yet.
    var left: Int { count - taken }

    var byteCount: Int { products.count * 4 }

    /// Hands out the next rows; no row is handed out twice.
    ///
    /// - Returns: As many rows as are left, at most `limit`.
    func take(_ limit: Int) -> Range<Int> {
        let first = taken
        taken = min(count, taken + limit)
        return first..<taken
    }

    /// Writes the pad of one row, `[inputs]`.
    func expand(_ row: Int, into words: inout MutableSpan<UInt32>) {
        seed.expand(row: UInt64(first + row), into: &words)
    }

    /// Calls `body` with the product of one row's pad, `[outputs]`.
    func withProduct<Result>(_ row: Int, _ body: (Span<UInt32>) -> Result) -> Result {
        products.withFirst(products.count) {
            body($0.extracting(row * site.outputs..<(row + 1) * site.outputs))
        }
    }
}

package import SCXEncoding
import SCXLink

extension RingForwardPass {
    /// Profile `sealed`.
    ///
    /// - Parameters:
    ///   - model: The model's sites.
    ///   - workers: Who multiplies.
    ///   - bank: Pads for the model's sites; closed with this forward pass.
    ///   - rowCounts: What the row counts of requests are rounded up to.
    ///   - pace: Requests are sent at multiples of this interval; nil for at once.
    ///   - counts: Where refused products are counted.
    ///   - options: How the cache is held, and when rows take turns.
    package convenience init(
        sealed model: RingModel, workers: RingWorkers, bank: PadBank, rowCounts: RowCounts = .exact,
        pace: Duration? = nil,
        counts: SealedCounts = SealedCounts(), options: RingOptions = .init()
    ) {
        self.init(
            model,
            products: SealedProducts(
                model, workers: workers, bank: bank, rowCounts: rowCounts, pace: pace, counts: counts),
            options: options, counts: counts,
            report: SealedReport(bank: bank, counts: counts, workers: workers.names))
    }
}

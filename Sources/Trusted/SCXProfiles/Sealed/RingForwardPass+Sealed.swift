package import SCXEncoding
import SCXLink

extension RingForwardPass {
    /// Makes the forward pass of profile `sealed`.
    ///
    /// - Parameters:
    ///   - model: The model's sites.
    ///   - workers: The workers that multiply.
    ///   - bank: Pads for the model's sites; it is closed together with this forward pass.
    ///   - rowCounts: How the row counts of requests are rounded up.
    ///   - pace: Requests are sent at multiples of this interval; nil to send them at once.
    ///   - counts: Where refused products are counted.
    ///   - options: How the KV cache is held, and when a step is divided in two.
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

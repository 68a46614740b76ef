import SCXEncoding
import SCXInference
import SCXLink

/// Delays sending to fixed intervals, so that the time of a request tells nothing about how long the trusted side
/// computed before it.
struct Pace {
    private let interval: Duration?
    private let start = ContinuousClock.now

    /// Begins a grid of moments to send at.
    ///
    /// - Parameter interval: The time between two of these moments; nil to send at once.
    init(interval: Duration?) { self.interval = interval }

    /// Waits until the next of these moments.
    func wait() {
        guard let interval, interval > .zero else { return }
        let passed = (ContinuousClock.now - start) / interval
        sleep(interval * (passed.rounded(.up) - passed))
    }
}

/// The products of profile `sealed`: workers get rows under one-time pads, and results are verified before they are
/// used.
///
///     z = x̂ + ρ        to the worker; ρ is uniform and used once, so z is uniform and says nothing of x̂
///     y = z Ŵ          from the worker
///     x̂ Ŵ = y − ρ Ŵ    here; used only when (x̂ Ŵ) · S = x̂ · S̃
///
/// The products are modulo 2³², the check is modulo 2⁶¹ − 1. Rows that are sent again after a failure get new pads and are verified with a new
/// secret S.
final class SealedProducts: SiteProducts {
    private let model: RingModel
    private let workers: RingWorkers
    private let bank: PadBank
    private let rowCounts: RowCounts
    private let counts: SealedCounts
    private let pace: Pace
    /// The seed of the dummy rows.
    private let dummySeed: PadSeed
    private var nextDummy: UInt64 = 0

    /// How often rows are sent to workers before the trusted side computes the product itself.
    private static let mostTries = 3

    init(
        _ model: RingModel, workers: RingWorkers, bank: PadBank, rowCounts: RowCounts, pace: Duration?,
        counts: SealedCounts
    ) {
        self.model = model
        self.workers = workers
        self.bank = bank
        self.rowCounts = rowCounts
        self.counts = counts
        self.pace = Pace(interval: pace)
        var random = SecureRandom(bufferBytes: PadSeed.byteCount)
        dummySeed = random.padSeed()
    }

    deinit { bank.close() }

    var traffic: Traffic { workers.traffic }

    func send(
        _ values: consuming Plaintext, _ site: RingSite, groups: [Int]?
    ) throws(LinkError) -> any SentProduct {
        let start = ContinuousClock.now
        let rows = FixedPointRows(values, for: site, groups: groups, pool: model.layers.pool)
        counts.add(.round, since: start)
        return Product(self, rows, site)
    }

    var showsRowCounts: Bool { rowCounts == .exact }

    func shownRows(_ rows: Int) -> Int { rowCounts.padded(rows) }

    private func encode(_ pads: consuming PadRows, _ rows: borrowing FixedPointRows) -> PaddedRows {
        let start = ContinuousClock.now
        defer { counts.add(.encode, since: start) }
        return pads.encode(rows, dummies: dummies(for: rows.rows), pool: model.layers.pool)
    }

    private func open(
        _ padded: consuming PaddedRows, _ answer: RingTensor, _ rows: borrowing FixedPointRows,
        _ expected: borrowing ExpectedSketches
    ) -> OpenedProduct {
        let start = ContinuousClock.now
        defer { counts.add(.open, since: start) }
        return padded.open(answer, rows, expected: expected, pool: model.layers.pool)
    }

    /// Makes the dummy rows that round up the number of rows; nil when none are needed.
    private func dummies(for rows: Int) -> DummyRows? {
        let count = rowCounts.padded(rows) - rows
        guard count > 0 else { return nil }
        defer { nextDummy += UInt64(count) }
        return DummyRows(seed: dummySeed, numbers: nextDummy..<nextDummy + UInt64(count))
    }

    /// One product, from its encoding to its verified result.
    private final class Product: SentProduct {
        private let owner: SealedProducts
        private let site: RingSite
        private let rows: FixedPointRows
        private var padded: PaddedRows?
        private var sent: RingWorkers.Sent?
        private var tries = 0

        init(_ owner: SealedProducts, _ rows: consuming FixedPointRows, _ site: RingSite) {
            self.owner = owner
            self.site = site
            self.rows = rows
            send()
        }

        private var pool: ThreadPool { owner.model.layers.pool }

        /// Pads the rows and sends them.
        ///
        /// A failure is only noticed when the result is waited for.
        private func send() {
            tries += 1
            // No pads are taken when there is no worker to send the rows to.
            guard owner.workers.canBeAsked else {
                padded = nil
                sent = nil
                tries = SealedProducts.mostTries
                return
            }
            do throws(LinkError) {
                let pads = try owner.counts.time(.pads) { () throws(LinkError) in
                    try owner.bank.take(rows.rows, for: site)
                }
                owner.counts.add(padded: rows.rows)
                let padded = owner.encode(pads, rows)
                let tensor = padded.tensor
                self.padded = consume padded
                owner.pace.wait()
                sent = try owner.counts.time(.link) { () throws(LinkError) in
                    try owner.workers.send(tensor, site, groups: rows.groups)
                }
            } catch {
                padded = nil
                sent = nil
            }
        }

        func receive() throws(LinkError) -> Plaintext {
            var expected = owner.counts.time(.sketch) { rows.expectedSketches(site, pool: pool) }
            while true {
                if let sent, let padded = padded.take() {
                    var wrong: WrongRow?
                    do throws(LinkError) {
                        let answer = try owner.counts.time(.link) { () throws(LinkError) in
                            try owner.workers.receive(sent)
                        }
                        switch owner.open(padded, answer, rows, expected) {
                        case .verified(let result): return result
                        case .wrong(let row): wrong = row
                        }
                    } catch {
                        // ``RingWorkers`` has left out the worker that failed; the rows are now sent again under new
                        // pads.
                    }
                    if let wrong {
                        try owner.accuse(wrong, site, sent)
                        expected = rows.expectedSketches(site, pool: pool)
                    }
                }
                guard tries < SealedProducts.mostTries else { break }
                send()
            }
            return try owner.computeHere(rows, site)
        }
    }

    /// Finds out whether the worker or the source of the pad computed a wrong product, and leaves out the one that did.
    ///
    /// - Throws: ``LinkError`` when the checkpoint's weights are not those of which the site was made; then neither is
    ///   at fault.
    private func accuse(_ row: WrongRow, _ site: RingSite, _ sent: RingWorkers.Sent) throws(LinkError) {
        counts.add(refused: 1)
        switch try model.judge(row, site) {
        case .answerIsRight: bank.distrust(source: row.source)
        case .answerIsWrong(let column): workers.distrust(row.index, column: column, sent)
        case .unknown:
            bank.suspect(source: row.source)
            workers.distrust(row.index, column: nil, sent)
        }
    }

    /// Reads the site's weights and computes the product on the trusted side, after all tries with workers have failed.
    private func computeHere(
        _ rows: borrowing FixedPointRows, _ site: RingSite
    ) throws(LinkError) -> Plaintext {
        counts.add(computedHere: rows.rows)
        let groups = rows.groups
        return try rows.multiplied(site, pool: model.layers.pool) { words throws(LinkError) in
            try model.product(words, site, groups: groups)
        }
    }
}

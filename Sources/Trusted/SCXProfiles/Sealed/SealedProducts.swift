import SCXEncoding
import SCXInference
import SCXLink

/// Sends at fixed intervals, so that when a request is sent tells nothing of how long this side took for it.
struct Pace {
    private let interval: Duration?
    private let start = ContinuousClock.now

    /// - Parameter interval: Between two sends at least; nil for none.
    init(interval: Duration?) { self.interval = interval }

    /// Waits for the next moment of the grid.
    func wait() {
        guard let interval, interval > .zero else { return }
        let passed = (ContinuousClock.now - start) / interval
        sleep(interval * (passed.rounded(.up) - passed))
    }
}

/// The products of profile `sealed`: rows go to workers under one-time pads, and results are verified before they are used.
///
///     z = x̂ + ρ        to the worker; ρ is uniform and used once, so z is uniform and says nothing of x̂
///     y = z Ŵ          from the worker
///     x̂ Ŵ = y − ρ Ŵ    here; used only when (x̂ Ŵ) · S = x̂ · S̃
///
/// All of it modulo 2³². What is sent again after a failure is padded anew and verified with another secret S.
final class SealedProducts: SiteProducts {
    private let model: RingModel
    private let workers: RingWorkers
    private let bank: PadBank
    private let rowCounts: RowCounts
    private let counts: SealedCounts
    private let pace: Pace
    /// Of the dummy rows.
    private let dummySeed: PadSeed
    private var nextDummy: UInt64 = 0

    /// Tries of one product before it is computed here.
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

    func send(_ values: consuming Plaintext, _ site: RingSite) throws(LinkError) -> any SentProduct {
        let rows = counts.time(.round) { FixedPointRows(values, for: site, pool: model.layers.pool) }
        return Product(self, rows, site)
    }

    var showsRowCounts: Bool { rowCounts == .exact }

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

    /// Dummy rows that nobody ever opens.
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

        /// Pads the rows and sends them; a failure is found when the result is waited for.
        private func send() {
            tries += 1
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
                    try owner.workers.send(tensor, site)
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
                        // The workers have left out who failed; the rows are padded anew.
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

    /// Finds out who gave a wrong product, and leaves them out.
    ///
    /// - Throws: ``LinkError`` when the weights here are not those that the site was made of: then nobody lied.
    private func accuse(_ row: WrongRow, _ site: RingSite, _ sent: RingWorkers.Sent) throws(LinkError) {
        counts.add(refused: 1)
        switch try model.judge(row, site) {
        case .answerIsRight: bank.distrust(source: row.source)
        case .answerIsWrong: workers.distrust(row.index, sent)
        case .unknown:
            bank.distrust(source: row.source)
            workers.distrust(row.index, sent)
        }
    }

    /// The last resort: this side reads the site's weights and multiplies itself.
    private func computeHere(
        _ rows: borrowing FixedPointRows, _ site: RingSite
    ) throws(LinkError) -> Plaintext {
        counts.add(computedHere: rows.rows)
        return try rows.multiplied(site, pool: model.layers.pool) { words throws(LinkError) in
            try model.product(words, site)
        }
    }
}

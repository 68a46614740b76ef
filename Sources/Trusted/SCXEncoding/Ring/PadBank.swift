import Foundation
import SCXInference
package import SCXLink
import Synchronization

/// The prepared pads of a model: for each site the pads of the rows to come.
///
/// The bank hands out each pad once. In memory a counter in each batch ensures that. The seeds are drawn anew for
/// each batch, so pads that a process has not used when it ends are never used by another process. When the bank has
/// no pads, callers wait until a source has made some.
///
/// With a ``PadStore`` the bank takes pads from memory first, then from the store, and has a source multiply more
/// when the store is empty. The store burns a batch (marks it as used) before the bank gets it, so pads that are in
/// memory when the process ends are lost. For that reason the bank loads only a few ahead of need.
package final class PadBank: Sendable {
    /// The most pads that are prepared.
    package struct Limits: Equatable, Sendable {
        /// The most bytes of products in memory.
        package var bytes = 1 << 30
        /// Rows of a batch.
        ///
        /// With more rows, each weight that is read is used for more pads.
        package var batchRows = 128
        /// How many rows of each site are kept prepared.
        package var rows = 256
        /// How many rows of each site are kept in memory while a store has more of them.
        package var loadedRows = 32

        package init() {}
    }

    /// Where pads came from, counted in rows of all sites.
    package struct Use: Equatable, Sendable {
        /// Rows that the trusted side multiplied, in this run or an earlier one.
        package var direct = 0
        /// Rows that a peer multiplied.
        package var peer = 0
        /// Of all these rows, those whose pads were loaded from the store.
        package var loaded = 0
        /// Of all these rows, those whose pads were ready when they were needed, so that nobody waited for a source.
        ///
        /// Pads that came from the store always count.
        package var banked = 0
        /// How long rows waited for pads.
        package var stalledSeconds = 0.0

        package init() {}
    }

    private struct Shelf {
        let site: RingSite
        /// The batches, oldest first; the first one always has rows left.
        var batches: [PadBatch] = []
        var rows: Int { batches.reduce(0) { $0 + $1.left } }
    }

    private struct State {
        var shelves: [DecoderSite: Shelf] = [:]
        var bytes = 0
        var use = Use()
        var isClosed = false
        /// Everybody who multiplied pads: first the sources, then the makers that are named in stored batches.
        var makers: [PadMaker]
        /// Makers that gave a wrong product, which are not asked any more.
        var distrusted: Set<Int> = []
        /// Makers whose stored pads must not be used, and for which a warning was given.
        var refused: Set<PadMaker> = []

        /// Removes all batches of a maker.
        mutating func drop(_ maker: Int) {
            for key in shelves.keys { shelves[key]?.batches.removeAll { $0.source == maker } }
            bytes = shelves.values.reduce(0) { $0 + $1.batches.reduce(0) { $0 + $1.byteCount } }
        }
    }

    private let sites: [RingSite]
    private let sources: [any PadSource]
    private let store: PadStore?
    private let limits: Limits
    /// The most rows of a batch with which one batch of each site fits into half of the memory.
    private let fittingRows: Int
    private let availability: Availability
    private let refusal: @Sendable (PadMaker) -> String?
    private let state: Mutex<State>
    private let warn: @Sendable (String) -> Void
    /// Locked while a batch is loaded.
    private let loading = Mutex(())
    /// Signalled each time that pads were taken.
    private let taken = DispatchSemaphore(value: 0)

    /// Makes a bank without pads.
    ///
    /// - Parameters:
    ///   - sites: The model's sites, in the order of a forward pass.
    ///   - sources: The sources that compute products; they are asked in this order, and the first answer is taken.
    ///   - store: Pads on disk, which are used before the sources are asked.
    ///   - limits: How many pads are prepared.
    ///   - warn: Called with a line when a source is left out, and when one that was lost is back.
    ///   - refusal: Returns why stored pads of a maker must not be used, for instance because it is a main worker, which
    ///     would know both the pads and the padded rows; nil when they may be used.
    ///   - now: Returns the current time, which decides when a source that failed is asked again.
    package init(
        sites: [RingSite], sources: [any PadSource], store: PadStore? = nil, limits: Limits = .init(),
        warn: @escaping @Sendable (String) -> Void = { _ in },
        refusal: @escaping @Sendable (PadMaker) -> String? = { _ in nil },
        now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        precondition(!sources.isEmpty, "PadBank: no source")
        self.sites = sites
        self.sources = sources
        self.store = store
        self.limits = limits
        // A row of a site of experts is as large as hundreds of others.
        let isWide = sites.contains { $0.groups > 1 }
        fittingRows = isWide ? max(1, limits.bytes / 2 / PadFill.bytesPerToken(sites)) : .max
        availability = Availability(count: sources.count, now: now)
        self.refusal = refusal
        self.warn = warn
        var state = State(makers: sources.map(PadMaker.init))
        for site in sites { state.shelves[site.site] = Shelf(site: site) }
        self.state = Mutex(state)
    }

    /// The names of all sources of a kind, and of the makers of that kind whose batches were loaded.
    package func makerNames(of kind: PadSourceKind) -> [String] {
        var names: [String] = []
        for maker in state.withLock({ $0.makers }) where maker.kind == kind && !names.contains(maker.name) {
            names.append(maker.name)
        }
        return names
    }

    /// How many rows' pads came from each kind of source so far.
    package var use: Use { state.withLock { $0.use } }

    /// The fewest prepared rows of any site except the head, which needs fewer.
    package var preparedRows: Int {
        state.withLock { state in
            state.shelves.filter { $0.key != .head }.values.map(\.rows).min() ?? 0
        }
    }

    /// Hands out pads for rows of a site.
    ///
    /// When the bank has none, the call waits for a source. While all sources are lost, it waits for the first attempt
    /// to reach one of them again.
    ///
    /// - Throws: ``LinkError`` when the bank has no pads and its sources fail; pads that were prepared stay.
    package func take(_ rows: Int, for site: RingSite) throws(LinkError) -> PadRows {
        precondition(rows > 0, "PadBank: no rows")
        var places = takePrepared(rows, site)
        defer { taken.signal() }
        if places.count < rows {
            let start = ContinuousClock.now
            while places.count < rows {
                if !load(site, unlessRows: 1) {
                    try add(
                        prepare(
                            site,
                            rows: max(
                                rows - places.count, min(limits.batchRows, Self.fewestRows, fittingRows)),
                            of: availability.usable(besides: state.withLock { $0.distrusted })))
                }
                places += takePrepared(rows - places.count, site, countsAsBanked: false)
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            state.withLock { $0.use.stalledSeconds += seconds }
        }
        return PadRows(site, places)
    }

    /// When the bank has no pads, it makes at least this many rows at once, since reading the weights for one row
    /// costs nearly as much.
    private static let fewestRows = 32

    private func takePrepared(_ rows: Int, _ site: RingSite, countsAsBanked: Bool = true) -> [PadRows.Place] {
        state.withLock { state in
            guard var shelf = state.shelves[site.site] else { preconditionFailure("PadBank: another model") }
            var places: [PadRows.Place] = []
            while places.count < rows, let batch = shelf.batches.first {
                let taken = batch.take(rows - places.count)
                places += taken.map { PadRows.Place(batch: batch, row: $0) }
                if countsAsBanked || batch.isStored { state.use.banked += taken.count }
                if batch.left == 0 {
                    shelf.batches.removeFirst()
                    state.bytes -= batch.byteCount
                }
            }
            state.shelves[site.site] = shelf
            return places
        }
    }

    /// Loads the next batch of the store, unless there are `enough` rows in memory by now.
    ///
    /// - Returns: False when the store has none.
    private func load(_ site: RingSite, unlessRows enough: Int) -> Bool {
        // Without this lock, a caller that waits and the background thread could each load a batch, and both would be
        // lost when the process ends.
        loading.withLock { _ in
            if state.withLock({ $0.shelves[site.site]?.rows ?? 0 }) >= enough { return true }
            guard let batch = nextStored(site) else { return false }
            add(batch)
            return true
        }
    }

    private func nextStored(_ site: RingSite) -> PadBatch? {
        guard let store else { return nil }
        let barred = availability.barredNow
        let distrusted = state.withLock { state in
            Set(state.distrusted.union(barred).map { state.makers[$0] })
        }
        guard let pads = store.take(site, by: { !distrusted.contains($0) && !isRefused($0) }) else {
            return nil
        }
        let maker = pads.maker
        let number = state.withLock { state in
            if let number = state.makers.firstIndex(of: maker) { return number }
            state.makers.append(maker)
            return state.makers.count - 1
        }
        return PadBatch(
            seed: pads.seed, first: pads.first, site: site, source: number, isStored: true,
            products: pads.products)
    }

    /// Whether stored pads of a maker must not be used; warns about each maker once.
    private func isRefused(_ maker: PadMaker) -> Bool {
        guard let reason = refusal(maker) else { return false }
        if state.withLock({ $0.refused.insert(maker).inserted }) {
            warn(
                "pads of the bank \(store?.path ?? "") that \(maker.name) multiplied are not used: \(reason)")
        }
        return true
    }

    /// Makes a batch with a seed of its own, from the first of the given sources that succeeds.
    private func prepare(_ site: RingSite, rows: Int, of numbers: [Int]) throws(LinkError) -> PadBatch {
        let pads = try sources.firstProducts(site, rows: rows, of: numbers) { number, error in
            lose(number, error)
        }
        return PadBatch(seed: pads.seed, site: site, source: pads.source, products: pads.products)
    }

    /// Leaves out a source that failed, until it can be reached again or for a while.
    ///
    /// - Parameters:
    ///   - number: The source's number.
    ///   - error: The error with which it failed.
    package func lose(_ number: Int, _ error: LinkError) {
        let source = sources[number]
        switch error {
        case .malformedFrame, .incompatible, .timedOut, .disconnected, .unreachable:
            availability.lose(number, named: source.name, error, warn: warn) { () throws(LinkError) in
                try source.connect()
            }
        case .invalidRequest, .workerFull, .unexpectedAnswer:
            guard let pause = availability.suspend(number) else { return }
            warn("\(source.name) is left out for \(pause / .seconds(1)) s: \(error)")
        }
    }

    private func add(_ batch: PadBatch) {
        state.withLock { state in
            guard !state.distrusted.contains(batch.source) else { return }
            state.shelves[batch.site.site]?.batches.append(batch)
            state.bytes += batch.byteCount
            switch state.makers[batch.source].kind {
            case .direct: state.use.direct += batch.count
            case .peer: state.use.peer += batch.count
            }
            if batch.isStored { state.use.loaded += batch.count }
        }
    }

    /// Leaves out a source that gave a wrong product, and drops the pads that it prepared.
    package func distrust(source: Int) {
        let name = state.withLock { state -> String? in
            guard state.distrusted.insert(source).inserted else { return nil }
            state.drop(source)
            return state.makers[source].name
        }
        if let name { warn("\(name) gave a wrong product of pads and is asked no more") }
    }

    /// Removes the pads of a maker that may have given a wrong product, and leaves it out for a while if other sources
    /// can be asked.
    ///
    /// Pads whose products the trusted side computed itself stay.
    ///
    /// - Parameter source: The maker's number.
    package func suspect(source: Int) {
        let (name, distrusted) = state.withLock { state -> (String?, Set<Int>) in
            guard state.makers[source].kind == .peer else { return (nil, []) }
            state.drop(source)
            if source >= sources.count { state.distrusted.insert(source) }
            return (state.makers[source].name, state.distrusted)
        }
        guard let name, source < sources.count,
            sources.indices.contains(where: { $0 != source && !distrusted.contains($0) }),
            let pause = availability.bar(source)
        else { return }
        warn("\(name) is left out for \(pause / .seconds(1)) s: it may have given a wrong product of pads")
    }

    /// Loads or prepares, in the background, the next batch of the site that has the fewest rows.
    ///
    /// - Returns: False when nothing has to be prepared now.
    package func prepareNext() throws(LinkError) -> Bool {
        // A batch that another thread is loading is neither in the store nor in memory, so the lock waits until it is
        // in memory.
        guard let next = loading.withLock({ _ in next() }) else { return false }
        if next.isStored {
            // This is false when all of the site's files were refused; the store has warned about them.
            _ = load(next.site, unlessRows: limits.loadedRows)
        } else {
            let distrusted = state.withLock { $0.distrusted }
            let ready = availability.ready.filter { !distrusted.contains($0) }
            try add(prepare(next.site, rows: min(limits.batchRows, fittingRows), of: ready))
        }
        return true
    }

    /// The site that has the fewest rows, and whether the store has more of them; nil when nothing is to be prepared.
    private func next() -> (site: RingSite, isStored: Bool)? {
        let stored = sites.map { store?.nextBatch(of: $0)?.bytes }
        return state.withLock { state -> (site: RingSite, isStored: Bool)? in
            guard !state.isClosed, state.bytes < limits.bytes else { return nil }
            var least: (site: RingSite, rows: Int, bytes: Int?)?
            for (site, bytes) in zip(sites, stored) {
                let rows = state.shelves[site.site]?.rows ?? 0
                guard rows < (bytes == nil ? limits.rows : limits.loadedRows), rows < least?.rows ?? .max
                else {
                    continue
                }
                least = (site, rows, bytes)
            }
            guard let least, state.bytes + (least.bytes ?? 0) <= limits.bytes else { return nil }
            return (least.site, least.bytes != nil)
        }
    }

    /// Waits until pads were taken, but at most for a second.
    func waitForRoom() { _ = taken.wait(timeout: .now() + 1) }

    /// Ends the preparation of pads in the background.
    package func close() {
        state.withLock { $0.isClosed = true }
        availability.close()
    }

    package var isClosed: Bool { state.withLock { $0.isClosed } }
}

extension SecureRandom {
    /// Draws a seed that was never used.
    package mutating func padSeed() -> PadSeed {
        // The array never grows, so no copy of the seed is left in freed memory.
        var bytes = [UInt8](repeating: 0, count: PadSeed.byteCount)
        for start in stride(from: 0, to: PadSeed.byteCount, by: 4) {
            let word = word()
            for i in 0..<4 { bytes[start + i] = UInt8(truncatingIfNeeded: word >> UInt32(8 * i)) }
        }
        return PadSeed(bytes: bytes)
    }
}

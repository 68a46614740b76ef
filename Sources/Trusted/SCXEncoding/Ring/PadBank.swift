import Foundation
import SCXInference
package import SCXLink
import Synchronization

/// The prepared pads of a model: for each site those of the rows to come.
///
/// A pad is handed out once. In memory that is a counter in each batch; the seeds are drawn afresh for each batch, so what a
/// process that ends leaves unused is never used by another. A bank that is dry takes the next pads as fast as its source
/// gives them.
///
/// With a ``PadStore`` it takes pads from memory first, then from the store, and multiplies when that is empty. The store
/// burns a batch before the bank has it, so what is in memory when the process ends is lost; for that reason little is
/// loaded ahead.
package final class PadBank: Sendable {
    /// How much is prepared.
    package struct Limits: Equatable, Sendable {
        /// Bytes of products in memory at most.
        package var bytes = 1 << 30
        /// Rows of a batch: more of them read each weight for more pads.
        package var batchRows = 128
        /// Rows of each site to keep prepared.
        package var rows = 256
        /// Rows of each site to keep in memory while a store has more of them.
        package var loadedRows = 32

        package init() {}
    }

    /// Where pads came from, counted in rows of all sites.
    package struct Use: Equatable, Sendable {
        /// Multiplied here, in this run or an earlier one.
        package var direct = 0
        /// Multiplied by a peer.
        package var peer = 0
        /// Of these, loaded from the store.
        package var loaded = 0
        /// Of all, taken after they were prepared and not while somebody waited; all that came from the store.
        package var banked = 0
        /// How long rows waited for pads.
        package var stalledSeconds = 0.0

        package init() {}
    }

    private struct Shelf {
        let site: RingSite
        /// Oldest first; the first has rows left.
        var batches: [PadBatch] = []
        var rows: Int { batches.reduce(0) { $0 + $1.left } }
    }

    private struct State {
        var shelves: [DecoderSite: Shelf] = [:]
        var bytes = 0
        var use = Use()
        var isClosed = false
        /// Who multiplied pads: the sources, then others that the store names.
        var makers: [PadMaker]
        /// Makers that gave a wrong product: they are asked no more.
        var distrusted: Set<Int> = []
        /// Makers of stored pads that are main workers now, and of whom that was told.
        var refused: Set<PadMaker> = []

        var distrustedMakers: Set<PadMaker> { Set(distrusted.map { makers[$0] }) }
    }

    private let sites: [RingSite]
    private let sources: [any PadSource]
    private let store: PadStore?
    private let limits: Limits
    private let availability: Availability
    private let mainWorker: @Sendable (PadMaker) -> String?
    private let state: Mutex<State>
    private let warn: @Sendable (String) -> Void
    /// Held while a batch is loaded.
    private let loading = Mutex(())
    /// Signalled when pads were taken.
    private let taken = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - sites: Of the model, in the order of a forward pass.
    ///   - sources: Where products come from: the first that gives them.
    ///   - store: Asked before the sources.
    ///   - limits: How much is prepared.
    ///   - warn: Told when a source is left out, and when one that was lost is back.
    ///   - mainWorker: The main worker that a maker of stored pads is, who would have both the pads and the padded rows;
    ///     nil for one that is none.
    package init(
        sites: [RingSite], sources: [any PadSource], store: PadStore? = nil, limits: Limits = .init(),
        warn: @escaping @Sendable (String) -> Void = { _ in },
        mainWorker: @escaping @Sendable (PadMaker) -> String? = { _ in nil }
    ) {
        precondition(!sources.isEmpty, "PadBank: no source")
        self.sites = sites
        self.sources = sources
        self.store = store
        self.limits = limits
        availability = Availability(count: sources.count)
        self.mainWorker = mainWorker
        self.warn = warn
        var state = State(makers: sources.map(PadMaker.init))
        for site in sites { state.shelves[site.site] = Shelf(site: site) }
        self.state = Mutex(state)
    }

    /// The names of those who multiplied pads, or may be asked to: the sources of a kind, and makers of the batches that
    /// were loaded.
    package func makerNames(of kind: PadSourceKind) -> [String] {
        var names: [String] = []
        for maker in state.withLock({ $0.makers }) where maker.kind == kind && !names.contains(maker.name) {
            names.append(maker.name)
        }
        return names
    }

    package var use: Use { state.withLock { $0.use } }

    /// Rows that are prepared for every site but the head, whose rows are fewer.
    package var preparedRows: Int {
        state.withLock { state in
            state.shelves.filter { $0.key != .head }.values.map(\.rows).min() ?? 0
        }
    }

    /// Hands out pads for rows of a site; waits for its sources when it is dry, also while all are lost and may come back.
    ///
    /// - Throws: ``LinkError`` when the bank is dry and its sources fail; what was prepared stays.
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
                            site, rows: max(rows - places.count, min(limits.batchRows, Self.fewestRows)),
                            of: availability.usable(besides: state.withLock { $0.distrusted })))
                }
                places += takePrepared(rows - places.count, site, countsAsBanked: false)
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            state.withLock { $0.use.stalledSeconds += seconds }
        }
        return PadRows(site, places)
    }

    /// A dry bank makes at least so many rows at once: reading the weights for one costs nearly as much.
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

    /// Loads the next batch of the store, unless there have come to be so many rows in memory.
    ///
    /// - Returns: False when there is none.
    private func load(_ site: RingSite, unlessRows enough: Int) -> Bool {
        // Who waits and the thread in the background would each load one, and a process that ends loses both.
        loading.withLock { _ in
            if state.withLock({ $0.shelves[site.site]?.rows ?? 0 }) >= enough { return true }
            guard let batch = nextStored(site) else { return false }
            add(batch)
            return true
        }
    }

    private func nextStored(_ site: RingSite) -> PadBatch? {
        guard let store else { return nil }
        let distrusted = state.withLock { $0.distrustedMakers }
        guard let pads = store.take(site, by: { !distrusted.contains($0) && !isMainWorker($0) }) else {
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

    /// Whether a maker of stored pads is a main worker, of which is told once.
    private func isMainWorker(_ maker: PadMaker) -> Bool {
        guard let name = mainWorker(maker) else { return false }
        if state.withLock({ $0.refused.insert(maker).inserted }) {
            warn(
                "pads of the bank \(store?.path ?? "") that \(maker.name) multiplied are not used: it is the main "
                    + "worker '\(name)' now, and would read everything")
        }
        return true
    }

    /// Makes a batch with a seed of its own, from the first of some sources that gives it.
    private func prepare(_ site: RingSite, rows: Int, of numbers: [Int]) throws(LinkError) -> PadBatch {
        let pads = try sources.firstProducts(site, rows: rows, of: numbers) { number, error in
            lose(number, error)
        }
        return PadBatch(seed: pads.seed, site: site, source: pads.source, products: pads.products)
    }

    /// Leaves out a source that failed until it can be reached again.
    private func lose(_ number: Int, _ error: LinkError) {
        let (source, warn) = (sources[number], warn)
        switch error {
        case .malformedFrame, .incompatible, .timedOut, .disconnected, .unreachable:
            let isNew = availability.lose(number) {
                do throws(LinkError) { try source.connect() } catch { return false }
                warn("\(source.name) is back")
                return true
            }
            if isNew { warn("\(source.name) is left out until it is back: \(error)") }
        case .invalidRequest, .workerFull, .unexpectedAnswer:
            let pause = availability.suspend(number)
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

    /// Leaves out a source that gave a wrong product, and throws away what it prepared.
    package func distrust(source: Int) {
        let name = state.withLock { state -> String? in
            guard state.distrusted.insert(source).inserted else { return nil }
            for key in state.shelves.keys { state.shelves[key]?.batches.removeAll { $0.source == source } }
            state.bytes = state.shelves.values.reduce(0) { $0 + $1.batches.reduce(0) { $0 + $1.byteCount } }
            return state.makers[source].name
        }
        if let name { warn("\(name) gave a wrong product of pads and is asked no more") }
    }

    /// Loads or prepares the next batch in the background: of the site that has the fewest rows.
    ///
    /// - Returns: False when nothing is to be prepared now.
    package func prepareNext() throws(LinkError) -> Bool {
        let stored = sites.map { store?.nextBatch(of: $0)?.bytes }
        let next = state.withLock { state -> (site: RingSite, isStored: Bool)? in
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
        guard let next else { return false }
        if next.isStored {
            // False when all of the site's files were refused, of which the store has told.
            _ = load(next.site, unlessRows: limits.loadedRows)
        } else {
            let distrusted = state.withLock { $0.distrusted }
            let ready = availability.ready.filter { !distrusted.contains($0) }
            try add(prepare(next.site, rows: limits.batchRows, of: ready))
        }
        return true
    }

    /// Waits until pads were taken, a second at most.
    func waitForRoom() { _ = taken.wait(timeout: .now() + 1) }

    /// Ends what is prepared in the background.
    package func close() {
        state.withLock { $0.isClosed = true }
        availability.close()
    }

    package var isClosed: Bool { state.withLock { $0.isClosed } }
}

extension SecureRandom {
    /// A seed that was never used.
    package mutating func padSeed() -> PadSeed {
        var bytes: [UInt8] = []
        for _ in 0..<PadSeed.byteCount / 4 {
            let word = word()
            for shift in stride(from: 0, to: 32, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(shift)))
            }
        }
        return PadSeed(bytes: bytes)
    }
}

package import SCXEncoding
package import SCXInference
package import SCXLink
package import SCXProfiles

/// A model opened for profile `sealed`: what this side knows of its sites, and where pads come from.
package struct SealedModel {
    private let checkpoint: Checkpoint
    private let settings: ModelSettings
    private let pool: ThreadPool
    /// Where the sites are kept between starts.
    private let store: SiteStore?

    /// Opens what is kept of the model between starts.
    ///
    /// - Parameters:
    ///   - checkpoint: The model.
    ///   - settings: Pads, threads, row counts and who is told what.
    /// - Throws: When the directory of the sites cannot be used.
    package init(_ checkpoint: Checkpoint, _ settings: ModelSettings) throws {
        self.checkpoint = checkpoint
        self.settings = settings
        store = try settings.pads.siteStore(checkpoint)
        pool = settings.pool(idle: .sleep)
    }

    /// Profile `sealed` over workers.
    ///
    /// - Parameters:
    ///   - workers: For each its name, the way to it, and what it said of itself.
    ///   - owners: Where the workers are noted.
    /// - Returns: What an engine takes.
    /// - Throws: An error that names the setting or the worker at fault.
    func forward(
        _ workers: [(name: String, link: any WorkerLink, hello: Hello?)], _ owners: OwnerSeparation
    ) throws -> RingForwardPass {
        let members = try Self.members(workers, isSharded: settings.isSharded)
        let store = try settings.pads.store(checkpoint)
        try checkRows(workers)
        try checkCover()
        let model = try ringModel()
        let foreign = settings.workers.filter(\.isForeign).map(\.name)
        let sources = try sources(owners, not: settings.workers)
        let warn = settings.warn
        let bank = PadBank(
            sites: model.sites, sources: sources.map(\.source), store: store, limits: settings.pads.limits,
            warn: warn,
            refusal: { maker in
                guard maker.kind == .peer else { return nil }
                return owners.refusal(
                    ofPadsBy: PeerPads.address(of: maker.name), key: maker.key, workers: foreign)
            })
        for (number, source) in sources.enumerated() {
            if let failure = source.failure { bank.lose(number, failure) }
        }
        PadProducer.start(bank, warn: warn)
        return RingForwardPass(
            sealed: model, workers: RingWorkers(members, warn: warn), bank: bank,
            rowCounts: settings.rowCounts, pace: settings.pace, options: settings.ring)
    }

    /// Refuses a cover of experts that the model does not have, or that would hide nothing.
    private func checkCover() throws(ModelError) {
        guard let cover = settings.ring.expertCover else { return }
        guard let experts = checkpoint.configuration.experts else {
            throw ModelError(.options, "'--expert-cover' is for models with experts, and this one has none")
        }
        guard cover > experts.perToken else {
            throw ModelError(
                .options,
                "'--expert-cover \(cover)' would show the \(experts.perToken) experts that a token takes: "
                    + "it needs more than these")
        }
    }

    /// Refuses workers that take no request of the fewest rows that are sent.
    private func checkRows(
        _ workers: [(name: String, link: any WorkerLink, hello: Hello?)]
    ) throws(ModelError) {
        let configuration = checkpoint.configuration
        let counts = settings.rowCounts
        let widest = configuration.sites.map { configuration.inputs(of: $0) }.max() ?? 0
        let bytes = 4 * widest * counts.fewestRows
        for worker in workers where worker.hello != nil && worker.link.largestTensor < bytes {
            throw ModelError(
                .options,
                "'--pad-rows' sends \(counts.fewestRows) rows at least, \((bytes >> 20) + 1) MiB, and worker "
                    + "\(worker.name) takes \(worker.link.largestTensor >> 20) MiB (scx-worker --max-tensor)")
        }
    }

    /// The workers as those who can each compute a whole product: one by one, or all shards together.
    private static func members(
        _ workers: [(name: String, link: any WorkerLink, hello: Hello?)], isSharded: Bool
    ) throws(ModelError) -> [(name: String, links: [any WorkerLink])] {
        for worker in workers {
            guard let hello = worker.hello else { continue }
            guard hello.ring else {
                throw ModelError(
                    .options,
                    "worker \(worker.name) has \(hello.weights) weights: profile sealed needs one with '--weights int8'"
                )
            }
            guard isSharded || hello.shard == .whole else {
                throw ModelError(
                    .options,
                    "worker \(worker.name) has shard \(hello.shard.index + 1) of \(hello.shard.count): say '--shard columns'"
                )
            }
        }
        guard isSharded else { return workers.map { ($0.name, [$0.link]) } }
        let count = workers.first?.hello?.shard.count ?? 1
        // In the order of the shards, as lines of the log count them.
        var (links, names): ([any WorkerLink], [String]) = ([], [])
        for index in 0..<count {
            guard
                let found = workers.first(where: {
                    $0.hello?.shard.index == index && $0.hello?.shard.count == count
                })
            else {
                throw ModelError(
                    .options, "'--shard columns': no worker has shard \(index + 1) of \(count) of this model")
            }
            links.append(found.link)
            names.append(found.name)
        }
        guard links.count == workers.count else {
            throw ModelError(
                .options, "'--shard columns': \(workers.count) workers for \(count) shards")
        }
        return [(names.joined(separator: " + "), links)]
    }

    /// Profile `fixed-point`, without a worker.
    func fixedPoint() throws -> RingForwardPass {
        RingForwardPass(fixedPoint: try ringModel(), weights: try weights(), options: settings.ring)
    }

    /// What this side knows of the model's sites.
    ///
    /// - Returns: Sites, norms and the embedding, read from the weights or from what is kept of them.
    /// - Throws: An error that names the file at fault.
    package func ringModel() throws -> RingModel {
        var progress = ProgressLine("reading \(settings.name)", report: settings.progress)
        defer { progress.finish() }
        return try RingModel(checkpoint, pool: pool, store: store) { progress.show($0) }
    }

    private func weights() throws -> Decoder {
        var progress = ProgressLine("loading \(settings.name) for pads", report: settings.progress)
        defer { progress.finish() }
        return try Decoder(checkpoint, format: .int8, pool: pool) { progress.show($0) }
    }

    /// Where products of pads come from, and why those that cannot be reached now cannot.
    package typealias Sources = [(source: any PadSource, failure: LinkError?)]

    /// Opens where products of pads come from.
    ///
    /// - Parameters:
    ///   - owners: Refuses a peer that is a main worker.
    ///   - workers: The main workers.
    /// - Returns: At least one that can be asked.
    /// - Throws: An error that names the peer, when it cannot be a peer, or when no source can be asked.
    package func sources(
        _ owners: OwnerSeparation = OwnerSeparation(), not workers: [WorkerPlace] = []
    ) throws -> Sources {
        let names = workers.map(\.name)
        let sources = try settings.pads.sources.map {
            source -> (source: any PadSource, failure: LinkError?) in
            switch source {
            case .direct: return (DirectPads(try weights()), nil)
            case .peer(let place):
                guard !names.contains(place.name) else {
                    throw ModelError(
                        .options,
                        "'--pads peer:\(place.name)' is a main worker: the two together could read everything"
                    )
                }
                let link = try WorkerAccess.makeLink(to: place, .peer, checkpoint, owners)
                let source = PeerPads(link, name: PeerPads.name(of: place.name)) { link.remoteEnd?.key }
                do throws(LinkError) { try WorkerAccess.open(link) } catch {
                    // It may come; who is somebody else, or has another model, stays that.
                    guard error.isOfLost else { throw error }
                    return (source, error)
                }
                return (source, nil)
            }
        }
        if sources.allSatisfy({ $0.failure != nil }), let first = sources.first, let failure = first.failure {
            throw ModelError(
                .worker, "'--pads peer:\(PeerPads.address(of: first.source.name))': \(failure)")
        }
        return sources
    }
}

extension LinkError {
    /// Whether somebody is not there, and may come.
    fileprivate var isOfLost: Bool {
        if case .incompatible = self { false } else { true }
    }
}

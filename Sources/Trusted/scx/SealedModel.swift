import ArgumentParser
import SCXEncoding
import SCXInference
import SCXLink
import SCXProfiles

/// A model opened for profile `sealed`: what this side knows of its sites, and where pads come from.
struct SealedModel {
    private let checkpoint: Checkpoint
    private let name: String
    private let pool: ThreadPool
    /// Where the sites are kept between starts.
    private let store: SiteStore?

    /// - Throws: When the directory of the sites cannot be used.
    init(_ checkpoint: Checkpoint, _ name: String, _ flags: PadFlags, threads: Int?) throws {
        self.checkpoint = checkpoint
        self.name = name
        store = try flags.siteStore(checkpoint)
        pool = ThreadPool(threads: threads ?? ThreadPool.systemCores, idle: .sleep)
    }

    /// Profile `sealed` over workers.
    ///
    /// - Parameters:
    ///   - workers: For each its name, the way to it, and what it said of itself.
    ///   - options: Pads, cache, shapes and times.
    ///   - owners: Where the workers are noted.
    /// - Returns: What an engine takes.
    /// - Throws: An error that names the flag or the worker at fault.
    func forward(
        _ workers: [(name: String, link: any WorkerLink, hello: Hello?)], _ options: ModelOptions,
        _ owners: OwnerSeparation
    ) throws -> RingForwardPass {
        let members = try Self.members(workers, isSharded: options.sealed.shard != nil)
        let store = try options.sealed.pads.store(checkpoint)
        try Self.checkRows(workers, checkpoint, options.sealed.padRows)
        let model = try ringModel()
        let foreign = options.workers.filter { $0 != .inprocess }.map(\.name)
        let sources = try sources(options.sealed.pads, options.tls, owners, not: options.workers)
        let bank = PadBank(
            sites: model.sites, sources: sources.map(\.source),
            store: store, limits: options.sealed.limits
        ) {
            standardError("warning: \($0)")
        } refusal: { maker in
            guard maker.kind == .peer else { return nil }
            return owners.refusal(
                ofPadsBy: PeerPads.address(of: maker.name), key: maker.key, workers: foreign)
        }
        for (number, source) in sources.enumerated() {
            if let failure = source.failure { bank.lose(number, failure) }
        }
        PadProducer.start(bank) { standardError("warning: \($0)") }
        return RingForwardPass(
            sealed: model, workers: RingWorkers(members) { standardError("warning: \($0)") }, bank: bank,
            rowCounts: options.sealed.padRows, pace: options.sealed.pace.map { .milliseconds($0) },
            options: options.sealed.ringOptions)
    }

    /// Refuses workers that take no request of the fewest rows that are sent.
    private static func checkRows(
        _ workers: [(name: String, link: any WorkerLink, hello: Hello?)], _ checkpoint: Checkpoint,
        _ counts: RowCounts
    ) throws {
        let configuration = checkpoint.configuration
        let widest = max(
            configuration.hiddenSize, configuration.feedForwardSize,
            configuration.headCount * configuration.headSize)
        let bytes = 4 * widest * counts.fewestRows
        for worker in workers where worker.hello != nil && worker.link.largestTensor < bytes {
            throw ValidationError(
                "'--pad-rows' sends \(counts.fewestRows) rows at least, \((bytes >> 20) + 1) MiB, and worker "
                    + "\(worker.name) takes \(worker.link.largestTensor >> 20) MiB (scx-worker --max-tensor)."
            )
        }
    }

    /// The workers as those who can each compute a whole product: one by one, or all shards together.
    private static func members(
        _ workers: [(name: String, link: any WorkerLink, hello: Hello?)], isSharded: Bool
    ) throws -> [(name: String, links: [any WorkerLink])] {
        for worker in workers {
            guard let hello = worker.hello else { continue }
            guard hello.ring else {
                throw ValidationError(
                    "worker \(worker.name) has \(hello.weights) weights: profile sealed needs one with '--weights int8'."
                )
            }
            guard isSharded || hello.shard == .whole else {
                throw ValidationError(
                    "worker \(worker.name) has shard \(hello.shard.index + 1) of \(hello.shard.count): say '--shard columns'."
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
                throw ValidationError(
                    "'--shard columns': no worker has shard \(index + 1) of \(count) of this model.")
            }
            links.append(found.link)
            names.append(found.name)
        }
        guard links.count == workers.count else {
            throw ValidationError("'--shard columns': \(workers.count) workers for \(count) shards.")
        }
        return [(names.joined(separator: " + "), links)]
    }

    /// Profile `fixed-point`, without a worker.
    func fixedPoint(_ options: RingOptions) throws -> RingForwardPass {
        RingForwardPass(fixedPoint: try ringModel(), weights: try weights(pool), options: options)
    }

    /// What this side knows of the model's sites.
    func ringModel() throws -> RingModel {
        var progress = ProgressLine("reading \(name)")
        defer { progress.finish() }
        return try RingModel(checkpoint, pool: pool, store: store) { progress.show($0) }
    }

    private func weights(_ pool: ThreadPool) throws -> Decoder {
        var progress = ProgressLine("loading \(name) for pads")
        defer { progress.finish() }
        return try Decoder(checkpoint, format: .int8, pool: pool) { progress.show($0) }
    }

    /// Where products of pads come from, and why those that cannot be reached now cannot.
    typealias Sources = [(source: any PadSource, failure: LinkError?)]

    /// Where products of pads come from.
    ///
    /// - Parameters:
    ///   - flags: What was asked for.
    ///   - tls: For peers over TCP.
    ///   - owners: Refuses a peer that is a main worker.
    ///   - workers: The main workers' addresses.
    /// - Returns: At least one that can be asked.
    /// - Throws: An error that names the peer, when it cannot be a peer, or when no source can be asked.
    func sources(
        _ flags: PadFlags, _ tls: TLSFlags, _ owners: OwnerSeparation = OwnerSeparation(),
        not workers: [ModelOptions.WorkerPlace] = []
    ) throws -> Sources {
        let sources = try flags.places.map { place -> (source: any PadSource, failure: LinkError?) in
            switch place {
            case .direct: return (DirectPads(try weights(pool)), nil)
            case .peer(let address):
                guard !workers.contains(address) else {
                    throw ValidationError(
                        "'--pads peer:\(address.name)' is a main worker: the two together could read everything."
                    )
                }
                let link = try WorkerAccess.makeLink(to: address, .peer, tls, checkpoint, owners)
                let source = PeerPads(link, name: PeerPads.name(of: address.name)) { link.remoteEnd?.key }
                do throws(LinkError) { try WorkerAccess.open(link) } catch {
                    // It may come; who is somebody else, or has another model, stays that.
                    guard error.isOfLost else { throw error }
                    return (source, error)
                }
                return (source, nil)
            }
        }
        if sources.allSatisfy({ $0.failure != nil }), let first = sources.first, let failure = first.failure {
            throw ValidationError(
                "'--pads peer:\(PeerPads.address(of: first.source.name))': \(failure).")
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

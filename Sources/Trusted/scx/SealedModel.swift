import ArgumentParser
import SCXEncoding
import SCXInference
import SCXLink
import SCXProfiles

/// A model opened for profile `sealed`: what this side knows of its sites, and where pads come from.
struct SealedModel {
    private let options: ModelOptions
    private let checkpoint: Checkpoint
    private let name: String
    private let pool: ThreadPool

    init(_ options: ModelOptions, _ checkpoint: Checkpoint, _ name: String) {
        self.options = options
        self.checkpoint = checkpoint
        self.name = name
        pool = ThreadPool(threads: options.threads ?? ThreadPool.systemCores)
    }

    /// Profile `sealed` over workers.
    func forward(_ workers: [(name: String, link: any WorkerLink)]) throws -> RingForwardPass {
        let model = try ringModel()
        let bank = PadBank(sites: model.sites, sources: try sources(), limits: options.sealed.limits) {
            standardError("warning: \($0)")
        }
        PadProducer.start(bank) { standardError("warning: \($0)") }
        return RingForwardPass(
            sealed: model, workers: RingWorkers(workers.map { ($0.name, [$0.link]) }) { standardError("warning: \($0)") },
            bank: bank, rowCounts: options.sealed.padRows, options: options.sealed.ringOptions)
    }

    /// Profile `fixed-point`, without a worker.
    func fixedPoint() throws -> RingForwardPass {
        RingForwardPass(
            fixedPoint: try ringModel(), weights: try weights(pool), options: options.sealed.ringOptions)
    }

    private func ringModel() throws -> RingModel {
        var progress = ProgressLine("reading \(name)")
        defer { progress.finish() }
        return try RingModel(checkpoint, pool: pool) { progress.show($0) }
    }

    private func weights(_ pool: ThreadPool) throws -> Decoder {
        var progress = ProgressLine("loading \(name) for pads")
        defer { progress.finish() }
        return try Decoder(checkpoint, format: .int8, pool: pool) { progress.show($0) }
    }

    private func sources() throws -> [any PadSource] {
        try options.sealed.padPlaces.map { place in
            switch place {
            case .direct: return DirectPads(try weights(pool))
            case .peer(let address):
                guard !options.workers.contains(address) else {
                    throw ValidationError(
                        "'--pads peer:\(address.name)' is a main worker: the two together could read everything.")
                }
                return PeerPads(
                    try WorkerAccess.connect(address, options, checkpoint), name: "peer \(address.name)")
            }
        }
    }
}

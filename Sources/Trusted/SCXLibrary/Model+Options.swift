import SCXEngine
import SCXInference
import SCXProfiles

extension Model {
    /// How a model is opened.
    public struct Options: Sendable {
        /// How the computation is split, which decides what the worker sees.
        public var profile = Profile.sealed
        /// The main workers, which hold the weights.
        ///
        /// One; in profile `sealed` also several, over which rows are spread. Profile `fixed-point` asks none.
        public var workers: [WorkerPlace] = [.process()]
        /// Workers of other owners that multiply pads for profile `sealed`; when there are none, this side multiplies them.
        ///
        /// A main worker and a peer that collude read everything, so no worker may be both.
        public var padPeers: [WorkerPlace] = []
        /// How many threads compute, from 1 to 1,024; nil for one for each core.
        public var threads: Int?
        /// How many answers are computed together, from 1 to 1,024; as many again may wait for them four times over.
        public var answersAtOnce = 16
        /// Called, from any thread, with a line that people should see, such as that a worker is left out.
        public var warning: @Sendable (_ line: String) -> Void = { _ in }
        /// Called, from any thread, with what takes long and how much of it is done, from 0 to 1.
        public var progress: @Sendable (_ task: String, _ fraction: Double) -> Void = { _, _ in }

        /// Profile `sealed` with a worker process of this machine.
        public init() {}

        /// Says how a model is split, and among whom.
        ///
        /// - Parameters:
        ///   - profile: How the computation is split.
        ///   - workers: The main workers.
        public init(profile: Profile = .sealed, workers: [WorkerPlace]) {
            (self.profile, self.workers) = (profile, workers)
        }
    }
}

extension Model.Options {
    /// Checks the options, and finds the model.
    ///
    /// - Returns: What makes the settings; they hold closures that stay on one thread.
    /// - Throws: ``ModelError`` of kind `options`, or `model` when there is no bundled one.
    func settings(
        for location: Model.Location
    ) throws(ModelError) -> @Sendable () -> ModelSettings {
        if let problem { throw ModelError(.options, problem) }
        let directory: String
        switch location {
        case .directory(let path): directory = path
        case .bundled:
            guard let path = BundledModel.path else {
                throw ModelError(
                    .model,
                    "the bundled model '\(BundledModel.name)' is not beside this program: name a directory")
            }
            directory = path
        }
        return { [self] in
            var settings = ModelSettings(directory: directory)
            settings.profile = profile
            settings.weights = profile.isRing ? .int8 : .bf16
            settings.threads = threads
            settings.workers = workers
            if !padPeers.isEmpty { settings.pads.sources = padPeers.map { .peer($0) } }
            settings.scx = { blocks in
                let options = ScxOptions()
                if let problem = options.problem(blockCount: blocks) {
                    throw ModelError(.options, "profile scx: \(problem)")
                }
                return options
            }
            settings.warn = warning
            settings.progress = progress
            return settings
        }
    }

    /// What is wrong with the options; nil when nothing is.
    private var problem: String? {
        if workers.isEmpty, profile != .fixedPoint { return "profile \(profile.rawValue) needs a worker" }
        if workers.count > 1, profile != .sealed {
            return "several workers need profile sealed: the others keep sessions on one"
        }
        if !padPeers.isEmpty, profile != .sealed { return "peers for pads need profile sealed" }
        if workers.count > 64 || padPeers.count > 64 { return "more than 64 workers or peers" }
        if let threads, !(1...1024).contains(threads) { return "\(threads) threads are not from 1 to 1024" }
        if !(1...1024).contains(answersAtOnce) {
            return "\(answersAtOnce) answers at once are not from 1 to 1024"
        }
        for case .tcp(let host, let port, _) in workers + padPeers
        where host.isEmpty || !(1...65535).contains(port) {
            return "'tcp://\(host):\(port)' is not an address"
        }
        return nil
    }

    /// How much the engine takes at once.
    var limits: EngineLoop.Limits {
        var limits = EngineLoop.Limits()
        limits.running = answersAtOnce
        limits.waiting = 4 * answersAtOnce
        limits.perKey = limits.running + limits.waiting
        return limits
    }
}

package import SCXEncoding
package import SCXEngine
package import SCXInference
package import SCXProfiles
package import SCXText

/// What a model is opened with: all that ``Model/Options`` and the options of the command `scx` come down to.
package struct ModelSettings {
    /// The model's directory, as Hugging Face has it.
    package var directory: String
    package var profile = Profile.sealed
    /// How weights are held by a worker that this program starts or is, and on this side in profile `scx`.
    package var weights = WeightFormat.int8
    /// How many threads compute; nil for one for each core.
    package var threads: Int?
    /// The main workers; at least one, except in profile `fixed-point`.
    package var workers: [WorkerPlace] = [.process()]
    /// Profile `sealed`: the workers hold a shard of every site each, and only all together have the model.
    package var isSharded = false
    /// Profile `sealed`: where pads come from.
    package var pads = PadSettings()
    /// Profile `sealed`: what the row counts of requests are rounded up to.
    package var rowCounts = RowCounts.exact
    /// Profile `sealed`: requests are sent at multiples of this time; nil sends them at once.
    package var pace: Duration?
    /// Profiles `sealed` and `fixed-point`: how this side holds keys and values.
    package var ring = RingOptions()
    /// The options of profile `scx` for a model of so many blocks.
    package var scx: (_ blockCount: Int) throws -> ScxOptions = { _ in ScxOptions() }
    /// Opens what proposes tokens of answers: returns what makes a drafter for each engine.
    package var openDrafts: (Checkpoint, Tokenizer?, _ name: String) throws -> (() -> (any Drafter)?) = {
        _, _, _ in { nil }
    }
    /// Called with a line that people should see.
    package var warn: @Sendable (_ line: String) -> Void = { _ in }
    /// Is told of the progress of what takes long; nil shows it on standard error.
    package var progress: ProgressLine.Report?

    package init(directory: String) { self.directory = directory }

    /// The model's name: the last part of its directory.
    package var name: String { directory.split(separator: "/").last.map(String.init) ?? directory }

    /// Makes a pool of as many threads as were asked for.
    ///
    /// - Parameter idle: What threads do that have nothing to do.
    /// - Returns: The pool.
    func pool(idle: ThreadPool.Idle = .watch) -> ThreadPool {
        ThreadPool(threads: threads ?? ThreadPool.systemCores, idle: idle)
    }
}

/// Where profile `sealed` takes pads and their products from.
package struct PadSettings {
    /// Who multiplies pads.
    package enum Source: Equatable, Sendable {
        /// This side.
        case direct
        /// A worker of another owner.
        case peer(WorkerPlace)
    }

    /// The first that gives pads counts; at least one.
    package var sources: [Source] = [.direct]
    /// Bytes of prepared products in memory at most.
    package var memory = 1 << 30
    /// Opens the bank of pads on disk; nil keeps them in memory alone.
    package var store: (Checkpoint) throws -> PadStore? = { _ in nil }
    /// Opens what is kept of the model's weights between starts; nil reads them at each start.
    package var siteStore: (Checkpoint) throws -> SiteStore? = { _ in nil }

    package init() {}

    /// The limits of the bank in memory.
    var limits: PadBank.Limits {
        var limits = PadBank.Limits()
        limits.bytes = memory
        return limits
    }
}

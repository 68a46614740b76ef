public import ArgumentParser
public import SCXInference
package import SCXProfiles

/// The flag for the number of threads that compute.
package struct ThreadsFlag: ParsableArguments {
    @Option(help: "Threads that compute. (default: one for each core)")
    package var threads: Int?

    package init() {}

    package func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("'--threads \(threads)' is not a number of threads (1 to 1024).")
        }
    }

    /// Makes a pool with the number of threads that the flag gives, by default one for each core.
    package var pool: ThreadPool { ThreadPool(threads: threads ?? ThreadPool.systemCores) }
}

/// The flags for the model and the number of threads that compute.
package struct ModelFlags: ParsableArguments {
    @Option(help: "Model directory as Hugging Face has it, or a GGUF file. (default: the bundled model)")
    package var model: String?

    @OptionGroup package var compute: ThreadsFlag

    package init() {}

    package var threads: Int? { compute.threads }
    package var pool: ThreadPool { compute.pool }

    /// The directory that `--model` names, or that of the bundled model.
    ///
    /// - Returns: A path.
    /// - Throws: `ValidationError` when there is no bundled model.
    package func directory() throws -> String { try model ?? BundledModel.directory() }

    /// Opens the model in that directory.
    ///
    /// - Returns: Its files, opened and checked.
    /// - Throws: ``CheckpointError`` that names the file at fault.
    package func checkpoint() throws -> Checkpoint { try Checkpoint(directory: directory()) }
}

/// The flags for the model, the format of its weights and the number of threads that compute.
package struct WeightsFlags: ParsableArguments {
    @OptionGroup package var base: ModelFlags

    @Option(help: "Precision of the weights in memory: f32, bf16, int8 or int4.")
    package var weights: WeightFormat = .bf16

    package init() {}

    package var pool: ThreadPool { base.pool }
    package func directory() throws -> String { try base.directory() }
    package func checkpoint() throws -> Checkpoint { try base.checkpoint() }
}

/// The flag for the format in which the trusted side of profile `sealed` holds its KV cache.
package struct CacheFlag: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How this side holds keys and values: f32, bf16, f16 or int8.",
            discussion: """
                Bytes of one token for each block and key-value head of 128 channels: f32 1,024, bf16 and f16 512, int8 264. \
                f16 costs no accuracy that shows, bf16 and int8 little (docs/profile-sealed.md has figures).
                """))
    package var kv = LayerCache.Format.f32

    package init() {}
}

extension BundledModel {
    /// Returns the directory of the bundled model, for commands that need a model.
    ///
    /// - Returns: A path.
    /// - Throws: `ValidationError` when it is not there.
    package static func directory() throws -> String {
        guard let path else {
            throw ValidationError(
                "the bundled model 'Models/\(name)' is not beside this program: name a directory with '--model'."
            )
        }
        return path
    }
}

extension WeightFormat: ExpressibleByArgument {}

extension LayerCache.Format: ExpressibleByArgument {}

extension RowCounts: ExpressibleByArgument {
    package init?(argument: String) {
        switch argument {
        case "exact": self = .exact
        case "powers": self = .powersOfTwo
        default:
            guard let unit = Int(argument), (2...65_536).contains(unit) else { return nil }
            self = .multiples(of: unit)
        }
    }

    package var defaultValueDescription: String { "exact" }
}

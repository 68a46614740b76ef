import ArgumentParser
import SCXLink
import SCXProfiles

/// The flags of profile `scx`: how many blocks are protected, and how their rows are encoded.
struct ScxFlags: ParsableArguments {
    @Option(help: "Blocks at the beginning whose keys and values stay here.")
    var scxLs = 1

    @Option(help: "Blocks at the end whose keys stay locked.")
    var scxLe = 1

    @Option(
        help: """
            Redundant rows among those of a prompt: auto (100 below 100 tokens, else none), none, ratio:R or fixed:M.
            """)
    var scxRedundancy = Redundancy(policy: .auto)

    @Option(help: "Scale of the Laplace noise: auto (what 'scx models profile' finds) or a number.")
    var scxNoise = Noise(scale: nil)

    @Option(
        help: """
            How long the first blocks' permutation of channels lives: oneTime, or session, which is faster and weaker.
            """)
    var scxReuse = ScxOptions.Reuse.oneTime

    @Option(
        help:
            "What the first blocks' keys and values are rounded to that travel for each token; float32: not at all."
    )
    var scxCompress = Compression.float32

    enum Compression: String, CaseIterable, ExpressibleByArgument {
        case float32, int8, int4

        var precision: TensorPrecision {
            switch self {
            case .float32: .float32
            case .int8: .int8
            case .int4: .int4
            }
        }
    }

    struct Redundancy: Equatable, ExpressibleByArgument {
        let policy: ScxOptions.Redundancy

        init(policy: ScxOptions.Redundancy) { self.policy = policy }

        init?(argument: String) {
            let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
            switch (parts.first, parts.count) {
            case ("auto", 1): policy = .auto
            case ("none", 1): policy = .none
            case ("ratio", 2):
                guard let ratio = Double(parts[1]), (0...10).contains(ratio) else { return nil }
                policy = .ratio(ratio)
            case ("fixed", 2):
                guard let rows = Int(parts[1]), (0...10_000).contains(rows) else { return nil }
                policy = .fixed(rows)
            default: return nil
            }
        }

        var defaultValueDescription: String { "auto" }
    }

    struct Noise: Equatable, ExpressibleByArgument {
        let scale: Float?

        init(scale: Float?) { self.scale = scale }

        init?(argument: String) {
            if argument == "auto" {
                scale = nil
            } else {
                guard let scale = Float(argument), scale.isFinite, scale >= 0 else { return nil }
                self.scale = scale
            }
        }

        var defaultValueDescription: String { "auto" }
    }

    /// Whether all of these flags have their default values.
    var isDefault: Bool {
        scxLs == 1 && scxLe == 1 && scxRedundancy.policy == .auto && scxNoise.scale == nil
            && scxReuse == .oneTime && scxCompress == .float32
    }

    /// The options of the profile for a model with this number of blocks; throws `ValidationError` if they do not fit
    /// it.
    func options(blockCount: Int) throws -> ScxOptions {
        var options = ScxOptions()
        options.firstBlocks = scxLs
        options.lastBlocks = scxLe
        options.redundancy = scxRedundancy.policy
        options.noiseScale = scxNoise.scale
        options.reuse = scxReuse
        options.compression = scxCompress.precision
        if let problem = options.problem(blockCount: blockCount) {
            throw ValidationError("'--scx-ls \(scxLs) --scx-le \(scxLe)': \(problem).")
        }
        return options
    }
}

extension ScxOptions.Reuse: ExpressibleByArgument {}

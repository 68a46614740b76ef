package import SCXInference
package import SCXLink

/// The options of profile `scx`.
package struct ScxOptions: Equatable, Sendable {
    /// Blocks at the beginning whose keys and values stay on the trusted side, at least 1 (`ls` in the paper).
    package var firstBlocks = 1
    /// Blocks at the end whose keys stay locked, at least 1 (`le`).
    package var lastBlocks = 1
    /// How many redundant rows are sent with those of a prompt.
    package var redundancy = Redundancy.auto
    /// Scale of the Laplace noise; nil for the model's own, from its profile.
    package var noiseScale: Float?
    /// For how long a permutation of channels is used.
    package var reuse = Reuse.oneTime
    /// The precision to which the keys and values that are sent for each generated token are rounded.
    package var compression = TensorPrecision.float32

    package init() {}

    /// How many redundant rows are sent with those of a prompt.
    package enum Redundancy: Equatable, Sendable {
        /// 100 for prompts of less than 100 tokens, none for others.
        case auto
        case none
        /// This many for each real row.
        case ratio(Double)
        case fixed(Int)

        /// How many redundant rows there are for `count` real ones.
        package func rows(for count: Int) -> Int {
            switch self {
            case .auto: count < 100 ? 100 : 0
            case .none: 0
            case .ratio(let ratio): Int((Double(count) * ratio).rounded(.up))
            case .fixed(let rows): rows
            }
        }
    }

    /// For how long a permutation of channels is used.
    package enum Reuse: String, CaseIterable, Sendable {
        /// For one attention of the first blocks: all their keys and values are sent again for each token.
        case oneTime
        /// For a session: the worker keeps the encoded keys and values, and only those of new tokens are sent.
        case session
    }

    /// Checks that the profile can be used with a model.
    ///
    /// - Throws: ``CheckpointError/unsupported(path:what:supported:)`` that says what the scheme cannot carry.
    package static func check(_ checkpoint: Checkpoint) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        guard let difference = configuration.differenceFromLlama else { return }
        throw .unsupported(
            path: checkpoint.directory,
            what: "family \(configuration.family.rawValue) in profile scx, since \(difference),",
            supported: "profiles plain and sealed")
    }

    /// Says what is wrong with the options for a model of this many blocks; nil when nothing is.
    package func problem(blockCount: Int) -> String? {
        if firstBlocks < 1 || lastBlocks < 1 {
            return "at least one block at each end is protected"
        }
        guard firstBlocks + lastBlocks <= blockCount else {
            return "\(firstBlocks) + \(lastBlocks) protected blocks, the model has \(blockCount)"
        }
        if let noiseScale, !(noiseScale >= 0 && noiseScale <= 1e4) {
            return "a noise scale of \(noiseScale) is not between 0 and 10,000"
        }
        return nil
    }
}

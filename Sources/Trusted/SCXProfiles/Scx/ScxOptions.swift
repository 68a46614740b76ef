package import SCXLink

/// What profile `scx` can be told.
package struct ScxOptions: Equatable, Sendable {
    /// Blocks at the beginning whose keys and values stay on the trusted side, at least 1 (`ls` in the paper).
    package var firstBlocks = 1
    /// Blocks at the end whose keys stay locked, at least 1 (`le`).
    package var lastBlocks = 1
    package var redundancy = Redundancy.auto
    /// Scale of the Laplace noise; nil for the model's own, from its profile.
    package var noiseScale: Float?
    package var reuse = Reuse.oneTime
    /// What keys and values are rounded to that travel for each generated token.
    package var compression = TensorPrecision.float32

    package init() {}

    /// How many redundant rows travel with those of a prompt.
    package enum Redundancy: Equatable, Sendable {
        /// 100 with prompts of less than 100 tokens, none with others.
        case auto
        case none
        /// This many for each row.
        case ratio(Double)
        case fixed(Int)

        /// Redundant rows for so many real ones.
        package func rows(for count: Int) -> Int {
            switch self {
            case .auto: count < 100 ? 100 : 0
            case .none: 0
            case .ratio(let ratio): Int((Double(count) * ratio).rounded(.up))
            case .fixed(let rows): rows
            }
        }
    }

    /// How long a permutation of channels lives.
    package enum Reuse: String, CaseIterable, Sendable {
        /// One attention of the first blocks: all their keys and values travel for each token.
        case oneTime
        /// A session: the worker keeps them encoded, and only those of new tokens travel.
        case session
    }

    /// Says what is wrong with the options for a model of so many blocks; nil when nothing is.
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

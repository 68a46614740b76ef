import SCXEncoding
import SCXLink

/// What the trusted side holds of a session in profile `scx`.
final class ScxSession {
    let slot: Slot
    /// How many tokens were computed so far.
    var count = 0
    /// The first blocks, in order.
    let first: [FirstBlock]
    /// The last blocks, in order.
    let last: [LastBlock]
    /// The orders of the middle blocks' rows, until they are shared.
    var unshared: [Unshared] = []

    /// A first block, whose keys and values the worker sees only encoded.
    final class FirstBlock {
        let cache: ProtectedCache
        /// With `reuse: session`, the key of all attentions of the session in this block.
        var key: SessionChannelKey?
        /// It is measured again when the cache has grown by a quarter.
        private var scaling: ChannelScaling?

        init(width: Int, key: consuming SessionChannelKey?) {
            cache = ProtectedCache(width: width)
            self.key = key
        }

        /// How many of the last tokens are not rounded.
        private static let exactTokens = 4

        /// How the keys and values of the next exchange are rounded.
        func compression(_ precision: TensorPrecision, _ shape: HeadShape) -> KeyValueCompression? {
            guard precision != .float32 else { return nil }
            if let scaling, scaling.count * 5 / 4 >= cache.count, scaling.count <= cache.count {
                return KeyValueCompression(
                    precision: precision, scaling: scaling, exactTokens: Self.exactTokens)
            }
            let measured = ChannelScaling(cache, shape)
            scaling = measured
            return KeyValueCompression(
                precision: precision, scaling: measured, exactTokens: Self.exactTokens)
        }
    }

    /// A last block, whose keys the worker holds in a secret order.
    final class LastBlock {
        let cache: ProtectedCache
        /// Nil until the keys are locked, and when they are no longer those that the worker holds.
        var key: TailKey?
        /// How many tokens' keys the worker has appended since.
        var generated = 0

        init(width: Int) { cache = ProtectedCache(width: width) }
    }

    /// An order that is waiting to be shared.
    final class Unshared {
        let layer: Int
        var order: SharedOrder?
        /// Where the worker keeps the rows, if they are in a slot together with those of other sessions.
        let source: SharedRows?

        init(layer: Int, order: consuming SharedOrder, source: SharedRows?) {
            self.layer = layer
            self.order = consume order
            self.source = source
        }
    }

    init(slot: Slot, first: [FirstBlock], last: [LastBlock]) {
        self.slot = slot
        self.first = first
        self.last = last
    }

    /// The cache of a protected block; nil for one in the middle.
    func cache(of block: Int, middle: Range<Int>) -> ProtectedCache? {
        if block < middle.lowerBound { return first[block].cache }
        return block >= middle.upperBound ? last[block - middle.upperBound].cache : nil
    }

    /// The caches of all protected blocks, in order.
    var caches: [ProtectedCache] { first.map(\.cache) + last.map(\.cache) }

    /// Removes the tokens from `count` on; the worker removes them with the next requests.
    func truncate(to count: Int) {
        guard count < self.count else { return }
        self.count = count
        for block in first { block.cache.truncate(to: count) }
        for block in last {
            block.cache.truncate(to: count)
            block.key = nil
        }
    }
}

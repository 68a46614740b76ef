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
    /// The orders of the middle blocks' rows that the worker has not been told yet.
    var unshared: [Unshared] = []

    /// A first block, whose keys and values the worker sees only encoded.
    final class FirstBlock {
        let cache: ProtectedCache
        /// With `reuse: session`, the key of all attentions of the session in this block.
        var key: SessionChannelKey?
        /// The scaling of keys and values for rounding; measured again when the cache has grown by a quarter.
        private var scaling: ChannelScaling?

        init(width: Int, key: consuming SessionChannelKey?) {
            cache = ProtectedCache(width: width)
            self.key = key
        }

        /// How many of the last tokens have keys and values that are not rounded.
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
        /// The order of the keys that the worker has locked; nil when none are locked, or when they lack tokens of the
        /// session.
        var key: TailKey?
        /// How many generated tokens' keys the worker has appended since the keys were locked.
        var generated = 0

        init(width: Int) { cache = ProtectedCache(width: width) }
    }

    /// The order of one middle block's rows, which the worker has not been told yet.
    final class Unshared {
        let layer: Int
        var order: SharedOrder?
        /// The slot in which the worker keeps the rows, if they are there together with those of other sessions; nil
        /// for the session's own.
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

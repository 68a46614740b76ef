import SCXEncoding
import SCXLink

/// What the trusted side holds of a session in profile `scx`.
final class ScxSession {
    let slot: Slot
    /// Tokens computed so far.
    var count = 0
    /// Of the first blocks, in order.
    let first: [FirstBlock]
    /// Of the last blocks, in order.
    let last: [LastBlock]
    /// Orders of the blocks between, until they are shared.
    var unshared: [Unshared] = []

    /// A block at the beginning: the worker never sees its keys and values but encoded.
    final class FirstBlock {
        let cache: ProtectedCache
        /// With `reuse: session`, the key of all the session's attentions.
        var key: SessionChannelKey?
        /// Measured again when the cache has grown by a quarter.
        private var scaling: ChannelScaling?

        init(width: Int, key: consuming SessionChannelKey?) {
            cache = ProtectedCache(width: width)
            self.key = key
        }

        /// Tokens before a query that travel as they are.
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

    /// A block at the end: the worker holds its keys in a secret order.
    final class LastBlock {
        let cache: ProtectedCache
        /// Nil until the keys are locked, and when they no longer are what the worker holds.
        var key: TailKey?
        /// Tokens that the worker has locked by itself since.
        var generated = 0

        init(width: Int) { cache = ProtectedCache(width: width) }
    }

    /// An order on its way to be shared.
    final class Unshared {
        let layer: Int
        var order: SharedOrder?

        init(layer: Int, order: consuming SharedOrder?) {
            self.layer = layer
            self.order = order
        }
    }

    init(slot: Slot, first: [FirstBlock], last: [LastBlock]) {
        self.slot = slot
        self.first = first
        self.last = last
    }

    /// Of all protected blocks, in order.
    var caches: [ProtectedCache] { first.map(\.cache) + last.map(\.cache) }

    /// Forgets the tokens from `count` on; the worker forgets them with the next requests.
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

/// The keys and values of all layers for one sequence.
///
/// Not thread-safe: see ``LayerCache``.
public final class KVCache: Sendable {
    /// The cache of each layer, in order.
    public let layers: [LayerCache]

    /// Makes empty caches for layers of one shape.
    ///
    /// - Parameters:
    ///   - layers: How many layers there are.
    ///   - kvHeads: Key-value heads of each layer.
    ///   - headSize: Channels of a head.
    ///   - format: How elements are stored.
    ///   - wipes: Whether memory is overwritten before it is freed; see ``LayerCache/wipes``.
    /// - Precondition: All sizes are positive.
    public init(
        layers: Int, kvHeads: Int, headSize: Int, format: LayerCache.Format = .f32, wipes: Bool = false
    ) {
        precondition(layers > 0, "KVCache: no layers")
        self.layers = (0..<layers).map { _ in
            LayerCache(kvHeads: kvHeads, headSize: headSize, format: format, wipes: wipes)
        }
    }

    /// The number of tokens that every layer holds.
    ///
    /// During a forward pass the first layers hold more than the others.
    public var count: Int { layers.reduce(Int.max) { min($0, $1.count) } }

    /// Bytes of all pages.
    public var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }

    /// Bytes of all pages once there is room for `tokens` tokens.
    public func byteCount(tokens: Int) -> Int { layers.reduce(0) { $0 + $1.byteCount(tokens: tokens) } }

    /// Makes room for `tokens` tokens in all, so that no layer can fail in the middle of a forward pass.
    ///
    /// - Throws: ``KVCacheError/noMemory(bytes:)``; what the cache holds stays.
    public func reserve(_ tokens: Int) throws(KVCacheError) {
        for layer in layers { try layer.reserve(tokens) }
    }

    /// Appends the same rows again and again in place of the rows of real tokens, for measurements.
    ///
    /// - Parameters:
    ///   - tokens: How many tokens every layer holds afterwards.
    ///   - rows: `[some, 2, kvHeads · headSize]`: for each token its keys, then its values.
    /// - Throws: ``KVCacheError/noMemory(bytes:)``
    /// - Precondition: There are whole rows.
    public func fill(_ tokens: Int, rows: [Float]) throws(KVCacheError) {
        try reserve(tokens)
        for layer in layers {
            let width = layer.kvHeads * layer.headSize
            let step = rows.count / (2 * width)
            precondition(step > 0 && step * 2 * width == rows.count, "KVCache: no whole rows")
            while layer.count < tokens {
                try layer.append(
                    rows.span, keyOffset: 0, valueOffset: width, stride: 2 * width,
                    tokens: min(step, tokens - layer.count))
            }
        }
    }

    /// Removes the tokens from `count` on, in the layers that have them.
    ///
    /// After a forward pass that failed in the middle, this brings all layers back to one length.
    ///
    /// - Precondition: No layer holds fewer than `count` tokens.
    public func truncate(to count: Int) {
        for layer in layers { layer.truncate(to: count) }
    }
}

/// The forward pass in pieces, for callers that compute the other pieces themselves or elsewhere.
///
/// Each function computes what ``Decoder/run(blocks:on:segments:workspace:)`` computes at the same place, with the
/// same kernels.

/// One of a decoder's products with weights; matrices with a common input are one site.
public enum DecoderSite: Hashable, Sendable {
    case queryKeyValue(block: Int)
    /// The queries of all heads from reduced ones, in latent attention.
    case queryUp(block: Int)
    /// The parts of the queries that score the latents: a group of channels for each head.
    case queryLatent(block: Int)
    /// The values of the heads from attended latents: a group of channels for each head.
    case valueUp(block: Int)
    case output(block: Int)
    /// Of a block's dense feed-forward network, or of the expert that every token takes.
    case gateUp(block: Int)
    case down(block: Int)
    /// Gate and up of all experts of a block: a group of channels for each expert.
    case expertGateUp(block: Int)
    case expertDown(block: Int)
    case head

    /// Whether its groups are the experts of a block.
    public var isOfExperts: Bool {
        switch self {
        case .expertGateUp, .expertDown: true
        default: false
        }
    }
}

extension Decoder {
    /// How many channels the input rows of a site have, whether the site is loaded or not.
    public func inputs(of site: DecoderSite) -> Int { configuration.inputs(of: site) }

    /// How many channels the output rows of a site have.
    public func outputs(of site: DecoderSite) -> Int { configuration.outputs(of: site) }

    /// Applies a block's norm before its queries, keys and values.
    ///
    /// - Parameters:
    ///   - hidden: `[tokens, hidden]`, row-major.
    ///   - block: Its number.
    ///   - out: Receives `[tokens, hidden]`.
    /// - Precondition: The block exists, `hidden` are whole rows, and `out` is as long.
    public func attentionNorm(_ hidden: Span<Float>, block: Int, into out: inout MutableSpan<Float>) {
        blocks[block].attentionNorm.apply(hidden, into: &out, pool: pool)
    }

    /// Applies a block's norm before its gate.
    ///
    /// - Precondition: As ``attentionNorm(_:block:into:)``.
    public func feedForwardNorm(_ hidden: Span<Float>, block: Int, into out: inout MutableSpan<Float>) {
        blocks[block].feedForwardNorm.apply(hidden, into: &out, pool: pool)
    }

    /// Applies the norm after the last block.
    ///
    /// - Precondition: As ``attentionNorm(_:block:into:)``.
    public func finalNorm(_ hidden: Span<Float>, into out: inout MutableSpan<Float>) {
        finalNorm.apply(hidden, into: &out, pool: pool)
    }

    /// Applies the activation before down: `act(gate) · up`, or `act(up)` where the family has no gate.
    ///
    /// - Parameters:
    ///   - gateUp: `[tokens, 2 · features]`, or `[tokens, features]` without a gate; row-major.
    ///   - out: Receives `[tokens, features]`.
    ///   - features: Channels of the activation; nil for those of a dense feed-forward network.
    public func activate(_ gateUp: Span<Float>, into out: inout MutableSpan<Float>, features: Int? = nil) {
        if let gate = configuration.clampedGate {
            let features = features ?? configuration.feedForwardSize
            let rows = gate.separated(gateUp, features: features)
            return SCXInference.activate(
                rows.span, .silu, isGated: true, into: &out, features: features, pool: pool)
        }
        SCXInference.activate(
            gateUp, configuration.activation, isGated: configuration.isGated, into: &out,
            features: features ?? configuration.feedForwardSize, pool: pool)
    }

    /// Cosines and sines for these positions of one sequence.
    public func rotaryTable(positions: some Collection<Int>) -> RotaryTable {
        var table = RotaryTable(ropes)
        table.append(positions: positions)
        return table
    }

    /// Applies the norm of each query and key head, if the family has one, then the rotation, in place.
    ///
    /// - Parameters:
    ///   - rows: One for each row of the table: its query heads, its key heads, and its value heads, which are not
    ///     changed.
    ///   - block: Its number.
    ///   - queryHeads: Query heads in a row.
    ///   - table: From ``rotaryTable(positions:)``.
    /// - Precondition: The block exists and there are as many rows.
    public func rotate(
        _ rows: inout MutableSpan<Float>, block: Int, queryHeads: Int, table: RotaryTable
    ) {
        let stride = (queryHeads + 2 * configuration.keyValueHeadCount) * configuration.headSize
        precondition(rows.count == table.tokens * stride, "Decoder: not a row for each position")
        rotate(block, &rows, queryHeads: queryHeads, table, pool: pool)
    }

    /// Multiplies rows by a site's weights and adds its bias, without a norm before or an activation after.
    ///
    /// - Parameters:
    ///   - rows: `[tokens, inputs]`, row-major.
    ///   - site: The site whose weights are used.
    /// - Returns: `[tokens, outputs]`, row-major.
    /// - Precondition: The site was loaded and `rows` are whole rows.
    public func product(_ rows: Span<Float>, _ site: DecoderSite) -> [Float] {
        precondition(configuration.groups(of: site) == 1, "Decoder: a product of several matrices")
        let site = weights(site)
        return floats(rows.count / site.inputs * site.outputs) { out in
            site.multiply(rows, into: &out, pool: pool)
        }
    }

    /// Multiplies rows by a site's weights and adds its bias, and writes the result to the caller's memory.
    ///
    /// - Precondition: As ``product(_:_:)``, and `out` has room for exactly the result.
    public func product(_ rows: Span<Float>, _ site: DecoderSite, into out: inout MutableSpan<Float>) {
        weights(site).multiply(rows, into: &out, pool: pool)
    }

    /// Computes what a block's feed-forward network, including its norm, adds to hidden states.
    ///
    /// - Parameters:
    ///   - hidden: `[tokens, hidden]`, row-major.
    ///   - block: Its number.
    ///   - workspace: Scratch memory.
    /// - Returns: `[tokens, hidden]`, row-major.
    /// - Precondition: The block exists and `hidden` are whole rows.
    public func feedForward(_ hidden: Span<Float>, block: Int, workspace: inout Workspace) -> [Float] {
        feedForward(block, hidden, &workspace)
        let update = workspace.update.span
        return floats(update.count) { out in for i in update.indices { out[i] = update[i] } }
    }

    /// Computes causal attention of rows that were projected and rotated, with scores summed in float64.
    ///
    /// For queries and keys from ``roundHeads(_:offset:stride:rows:heads:headSize:on:)`` the result does not depend on the
    /// order of the channels inside the heads.
    ///
    /// - Parameters:
    ///   - rows: `queries` rows of all query heads, then rows of keys, each followed by its values.
    ///   - queries: How many queries there are; they belong to the last positions.
    ///   - keys: How many rows of keys and values there are; they are appended to `cache`.
    ///   - block: The block, which determines the sliding window.
    ///   - cache: From ``makeLayerCache()``, with the keys and values of earlier positions.
    /// - Returns: `[queries, heads · headSize]`, row-major.
    /// - Precondition: `rows` has exactly these rows; there is a query, and a key for each.
    /// - Throws: ``KVCacheError`` when the cache cannot grow; then it is as before.
    public func attend(
        _ rows: Span<Float>, queries: Int, keys: Int, block: Int, cache: LayerCache
    ) throws(KVCacheError) -> [Float] {
        let size = configuration.headSize
        let width = configuration.headCount * size
        let keyWidth = configuration.keyValueHeadCount * size
        precondition(rows.count == queries * width + keys * 2 * keyWidth, "Decoder: rows of attention")
        try cache.append(
            rows, keyOffset: queries * width, valueOffset: queries * width + keyWidth, stride: 2 * keyWidth,
            tokens: keys)
        return floats(queries * width) { out in
            attention(
                rows, stride: width, tokens: queries, heads: configuration.headCount, cache: cache,
                scale: attentionScale, cap: configuration.scoreCap, sinks: blocks[block].sinks,
                window: configuration.slidingWindows[block], causal: configuration.isCausal,
                exactScores: true, into: &out, pool: pool)
        }
    }

    /// Appends projected keys and values to a block's cache, for the positions that follow those in the cache.
    ///
    /// - Parameters:
    ///   - rows: Keys, each followed by its values, in the order of their positions: the last columns of the rows of
    ///     ``DecoderSite/queryKeyValue(block:)``. The keys' norm and rotation are applied in place.
    ///   - block: Its number.
    ///   - cache: The block's cache.
    /// - Precondition: The block exists and `rows` are whole rows.
    /// - Throws: ``KVCacheError`` when the cache cannot grow; then it is as before.
    public func append(
        _ rows: inout MutableSpan<Float>, block: Int, to cache: LayerCache
    ) throws(KVCacheError) {
        let width = configuration.keyValueHeadCount * configuration.headSize
        let tokens = rows.count / (2 * width)
        let table = rotaryTable(positions: cache.count..<cache.count + tokens)
        rotate(block, &rows, queryHeads: 0, table, pool: pool)
        try cache.append(rows.span, keyOffset: 0, valueOffset: width, stride: 2 * width, tokens: tokens)
    }

    /// Computes the queries, keys and values of one hidden state, after the rotation.
    ///
    /// - Parameters:
    ///   - hidden: `[hidden]`, the block's input.
    ///   - block: Its number.
    ///   - position: The state's position in the sequence.
    ///   - workspace: Scratch memory.
    /// - Returns: `[heads + 2 · keyValueHeads, headSize]`
    /// - Precondition: The block exists and `hidden` is one row.
    public func queryKeyValue(
        _ hidden: Span<Float>, block: Int, position: Int, workspace: inout Workspace
    ) -> [Float] {
        precondition(hidden.count == configuration.hiddenSize, "Decoder: hidden is not one row")
        project(block, hidden, &workspace)
        let projected = workspace.queryKeyValue.span
        return floats(projected.count) { out in
            for i in projected.indices { out[i] = projected[i] }
            let table = rotaryTable(positions: position..<position + 1)
            rotate(block, &out, queryHeads: configuration.headCount, table, pool: pool)
        }
    }

    /// Computes the scores of one position's queries against keys, scaled, before the softmax.
    ///
    /// - Parameters:
    ///   - queries: `[heads, headSize]`, after the rotation.
    ///   - keys: `[tokens, keyValueHeads, headSize]`, after the rotation.
    ///   - out: Receives `[heads, tokens]`, adjacent, from `outOffset` on.
    ///   - outOffset: Where the result begins in `out`.
    /// - Precondition: `queries` is one row, `keys` are whole rows, and `out` has room.
    public func scores(
        _ queries: Span<Float>, _ keys: Span<Float>, into out: inout MutableSpan<Float>, at outOffset: Int
    ) {
        let (heads, kvHeads, size) = (
            configuration.headCount, configuration.keyValueHeadCount, configuration.headSize
        )
        let tokens = keys.count / (kvHeads * size)
        precondition(
            queries.count == heads * size && keys.count == tokens * kvHeads * size,
            "Decoder: rows of scores")
        precondition(outOffset >= 0 && outOffset + heads * tokens <= out.count, "Decoder: out is too small")
        let scale = attentionScale
        let perKey = heads / kvHeads
        unsafe queries.withUnsafeBufferPointer { queries in
            unsafe keys.withUnsafeBufferPointer { keys in
                guard let queries = queries.baseAddress, let keys = keys.baseAddress else { return }
                // Keys are in the outer loop, so that each is read from memory once for all its query heads.
                for token in 0..<tokens {
                    for head in 0..<heads {
                        let key = unsafe keys + (token * kvHeads + head / perKey) * size
                        let product = unsafe dot(queries + head * size, key, size)
                        out[outOffset + head * tokens + token] = scale * product
                    }
                }
            }
        }
    }

    /// An empty cache for the keys and values of one layer of this model.
    public func makeLayerCache() -> LayerCache {
        LayerCache(
            kvHeads: configuration.keyValueHeadCount, headSize: configuration.headSize, format: cacheFormat)
    }

    /// Keys as a cache of this model would store them: `[tokens, keyValueHeads · headSize]`, rounded to its format.
    public func roundedAsCached(_ keys: ArraySlice<Float>) -> [Float] {
        cacheFormat.rounded(keys, headSize: configuration.headSize)
    }

    /// The factor of scores: 1 / √headSize unless the family has another.
    public var attentionScale: Float {
        configuration.scoreScale ?? 1 / Float(configuration.headSize).squareRoot()
    }

    /// - Precondition: The site was loaded.
    func weights(_ site: DecoderSite) -> LinearSite {
        if let tower, let (_, own) = configuration.towerSite(site) { return tower.weights(own) }
        let loaded =
            switch site {
            case .queryKeyValue(let block): blocks[block].queryKeyValue
            case .queryUp(let block): blocks[block].latent?.queryUp
            case .queryLatent(let block): blocks[block].latent?.queryLatent
            case .valueUp(let block): blocks[block].latent?.valueUp
            case .output(let block): blocks[block].output
            case .gateUp(let block): blocks[block].gateUp
            case .down(let block): blocks[block].down
            case .expertGateUp(let block): blocks[block].experts?.gateUp
            case .expertDown(let block): blocks[block].experts?.down
            case .head: head
            }
        guard let loaded else { preconditionFailure("Decoder: \(site) was not loaded") }
        return loaded
    }
}

extension DecoderConfiguration.ClampedGate {
    /// Rows whose gate by silu is this gate of the given ones: x · sigmoid(s · x) is silu(s · x) / s.
    ///
    /// - Parameters:
    ///   - rows: `[tokens, 2 · features]`, in the order that ``isInterleaved`` says.
    ///   - features: Channels of the activation.
    /// - Returns: `[tokens, 2 · features]`, with all gates before all ups.
    fileprivate func separated(_ rows: Span<Float>, features: Int) -> [Float] {
        floats(rows.count) { out in
            for row in 0..<rows.count / (2 * features) {
                let first = 2 * row * features
                for f in 0..<features {
                    let (gate, up) =
                        isInterleaved
                        ? (rows[first + 2 * f], rows[first + 2 * f + 1])
                        : (rows[first + f], rows[first + features + f])
                    // A number that is not one stays so.
                    out[first + f] = slope * (gate > limit ? limit : gate)
                    out[first + features + f] = ((up > limit ? limit : up < -limit ? -limit : up) + 1) / slope
                }
            }
        }
    }
}

/// Makes an array that `body` fills, without first writing zeros to it.
func floats(_ count: Int, _ body: (inout MutableSpan<Float>) -> Void) -> [Float] { filled(count, body) }

/// Makes an array all of whose elements `body` writes.
func filled<Element: BitwiseCopyable>(
    _ count: Int, _ body: (inout MutableSpan<Element>) -> Void
) -> [Element] {
    unsafe [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
        // `body` writes all elements, so they need not be initialised before.
        var span = unsafe MutableSpan(_unsafeElements: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
        body(&span)
        initialized = count
    }
}

/// The dot product Σ a[i] · b[i], in sixteen partial sums.
private func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
    func four(_ pointer: UnsafePointer<Float>, _ i: Int) -> SIMD4<Float> {
        unsafe UnsafeRawPointer(pointer + i).loadUnaligned(as: SIMD4<Float>.self)
    }
    var (s0, s1, s2, s3) = (SIMD4<Float>(), SIMD4<Float>(), SIMD4<Float>(), SIMD4<Float>())
    var i = 0
    while i + 16 <= count {
        unsafe s0 += four(a, i) * four(b, i)
        unsafe s1 += four(a, i + 4) * four(b, i + 4)
        unsafe s2 += four(a, i + 8) * four(b, i + 8)
        unsafe s3 += four(a, i + 12) * four(b, i + 12)
        i += 16
    }
    var sum = ((s0 + s1) + (s2 + s3)).sum()
    while i < count {
        unsafe sum += a[i] * b[i]
        i += 1
    }
    return sum
}

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A decoder-only transformer with its weights in memory.
///
/// One block, in the names of Llama's checkpoints, follows
/// <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/llama/modeling_llama.py>:
///
///     h += o_proj(attention(rope(q_proj(x)), rope(k_proj(x)), v_proj(x)))      x = input_layernorm(h)
///     h += down_proj(silu(gate_proj(x)) · up_proj(x))                          x = post_attention_layernorm(h)
///
/// ``DecoderConfiguration`` says how other families differ from that; encoders are computed by the same parts. Products
/// with a common input are one fused site. Embedding and sampling are not here: they stay on the trusted side.
public final class Decoder: Sendable {
    /// One transformer block; sites that were not loaded are nil, and norms that the family lacks are empty.
    struct Block: Sendable {
        /// Before queries, keys and values.
        let attentionNorm: HiddenNorm
        /// The weights `q_proj`, `k_proj` and `v_proj`, `[(heads + 2 · keyValueHeads) · headSize, hidden]`.
        let queryKeyValue: LinearSite?
        /// For each head the score of no token, or empty.
        let sinks: [Float]
        /// The weights `q_norm` and `k_norm`, of a head or of all heads; empty where the family has none.
        let queryNorm: [Float]
        let keyNorm: [Float]
        /// The weights `o_proj`, `[hidden, heads · headSize]`.
        let output: LinearSite?
        /// After `o_proj`.
        let attentionResultNorm: HiddenNorm
        /// Before gate and up.
        let feedForwardNorm: HiddenNorm
        /// The weights `gate_proj` and `up_proj`, `[2 · feedForward, hidden]`, or `up_proj` alone.
        let gateUp: LinearSite?
        /// The weights `down_proj`, `[hidden, feedForward]`.
        let down: LinearSite?
        /// After `down_proj`.
        let feedForwardResultNorm: HiddenNorm
        /// In place of `gateUp` and `down`, which are then those of the shared expert; nil in a dense block.
        var experts: ExpertLayer?
        /// Between `queryKeyValue` and `output`, in latent attention.
        var latent: LatentLayer?
    }

    /// Weights and bias of one fused product.
    struct LinearSite: Sendable {
        /// The matrices, all of one shape; there are several only in sites of experts and of latent attention.
        let groups: [PackedMatrix]
        /// One for each row of `groups`, or empty.
        let bias: [Float]

        /// How many matrices ``weights`` has, one above the other; see ``DecoderConfiguration/ringPlanes``.
        let planes: Int

        init(weights: PackedMatrix, bias: [Float], planes: Int = 1) {
            (groups, self.bias, self.planes) = ([weights], bias, planes)
        }

        init(groups: [PackedMatrix], bias: [Float]) { (self.groups, self.bias, planes) = (groups, bias, 1) }

        /// The bias of one of the matrices, or empty.
        @_lifetime(borrow self)
        func bias(ofGroup group: Int) -> Span<Float> {
            bias.isEmpty
                ? Span() : bias.span.extracting(group * groups[0].rows..<(group + 1) * groups[0].rows)
        }

        /// The matrix of a site that has only one.
        var weights: PackedMatrix { groups[0] }

        /// Channels of a row that is multiplied, and of its product.
        var inputs: Int { groups.count * weights.columns }
        var outputs: Int { groups.count * weights.rows / planes }
    }

    public let configuration: DecoderConfiguration
    public let pool: ThreadPool
    /// The format in which the weights are held.
    public let format: WeightFormat
    /// The part of each site's outputs that was loaded.
    public let shard: Shard
    let blocks: [Block]
    /// After the last block.
    let finalNorm: HiddenNorm
    /// The weights `lm_head`, `[vocabulary, hidden]`; nil when they were not loaded.
    let head: LinearSite?
    /// The encoder of pictures, whose blocks have their numbers in it alone; nil where the model has none.
    public let tower: Decoder?
    /// The rotary embedding, and where blocks use another the second one.
    let ropes: [RotaryEmbedding]
    /// The KV cache's format: float32 if the weights are float32, which means that full precision is wanted, and in
    /// encoders; else bfloat16.
    let cacheFormat: LayerCache.Format

    init(
        configuration: DecoderConfiguration, pool: ThreadPool, format: WeightFormat, shard: Shard = .whole,
        blocks: [Block], finalNorm: HiddenNorm, head: LinearSite?, tower: Decoder? = nil
    ) {
        self.configuration = configuration
        self.pool = pool
        self.format = format
        self.shard = shard
        self.blocks = blocks
        self.finalNorm = finalNorm
        self.head = head
        self.tower = tower
        // What is computed at once keeps its keys and values only for a moment.
        cacheFormat = format == .f32 || !configuration.isCausal ? .f32 : .bf16
        ropes = ([configuration.rope] + [configuration.localRope].compactMap(\.self)).map {
            RotaryEmbedding($0)
        }
    }

    /// Bytes of all loaded weights in memory.
    public var byteCount: Int {
        let sites =
            blocks.flatMap {
                [
                    $0.queryKeyValue, $0.latent?.queryUp, $0.latent?.queryLatent, $0.latent?.valueUp,
                    $0.output,
                    $0.gateUp, $0.down, $0.experts?.gateUp, $0.experts?.down,
                ]
            } + [head]
        let routers = blocks.reduce(0) { $0 + ($1.experts?.router.byteCount ?? 0) }
        let own = sites.compactMap(\.self).flatMap(\.groups).reduce(routers) { $0 + $1.byteCount }
        return own + (tower?.byteCount ?? 0)
    }

    /// Makes an empty cache for one session of this model.
    ///
    /// - Parameter wipes: Whether memory is overwritten before it is freed; see ``LayerCache/wipes``.
    /// - Returns: The caches of all blocks.
    public func makeCache(wipes: Bool = false) -> KVCache {
        KVCache(
            layers: configuration.blockCount, kvHeads: configuration.keyValueHeadCount,
            headSize: configuration.headSize, format: cacheFormat, wipes: wipes)
    }
}

/// The two parts of a block that add to the residual stream.
public enum BlockPart: Sendable {
    case attention, feedForward
}

/// Consecutive rows of a forward pass that belong to one session.
public struct CacheSegment {
    /// The session's cache, to which the rows' keys and values are appended.
    public let cache: KVCache
    /// Position of the first row in its session: the number of tokens that the cache holds.
    public let position: Int
    /// How many rows there are.
    public let rows: Int
    /// Whether the rows attend to each other in both directions, as those of a picture do in Gemma 3.
    public let isMutual: Bool

    public init(cache: KVCache, position: Int, rows: Int, isMutual: Bool = false) {
        self.cache = cache
        self.position = position
        self.rows = rows
        self.isMutual = isMutual
    }
}

extension Decoder {
    /// Runs blocks on hidden states, in place.
    ///
    /// - Parameters:
    ///   - range: Blocks to run, in order.
    ///   - hidden: `[tokens, hidden]`, row-major: the rows of all segments, one after the other.
    ///   - segments: Which rows belong to which session; their keys and values are appended to its cache.
    ///   - workspace: Scratch memory.
    /// - Throws: ``KVCacheError`` when a cache cannot grow; then `hidden` and the caches are in the middle of the
    ///   pass.
    /// - Precondition: The segments' rows add up to the rows of `hidden`, and every cache ends at its segment's
    ///   position.
    public func run(
        blocks range: Range<Int>, on hidden: inout MutableSpan<Float>, segments: [CacheSegment],
        workspace: inout Workspace
    ) throws(KVCacheError) {
        let tokens = segments.reduce(0) { $0 + $1.rows }
        precondition(
            hidden.count == tokens * configuration.hiddenSize, "Decoder: hidden is not tokens x hidden")
        var table = RotaryTable(ropes)
        for segment in segments {
            for layer in segment.cache.layers[range] { try layer.reserve(segment.position + segment.rows) }
            table.append(positions: segment.position..<segment.position + segment.rows)
        }
        for index in range {
            try attend(index, hidden.span, segments, table, &workspace)
            add(&workspace.update, of: .attention, index, to: &hidden)
            feedForward(index, hidden.span, &workspace)
            add(&workspace.update, of: .feedForward, index, to: &hidden)
        }
    }

    /// Writes to `work.update` what a block's attention adds to the residual stream.
    private func attend(
        _ index: Int, _ hidden: Span<Float>, _ segments: [CacheSegment], _ table: RotaryTable,
        _ work: inout Workspace
    ) throws(KVCacheError) {
        project(index, hidden, &work)
        if configuration.latent == nil {
            try attend(index, &work.queryKeyValue, segments, table, &work.attended)
        } else {
            projectLatent(index, &work)
            try attend(index, &work.attentionRows, segments, table, &work.attended)
            latentValues(index, &work)
        }
        apply(.output(block: index), work.attended, &work.update)
    }

    /// Writes to `work.queryKeyValue` a block's queries, keys and values, as the product gives them.
    func project(_ index: Int, _ hidden: Span<Float>, _ work: inout Workspace) {
        norm(hidden, blocks[index].attentionNorm, &work.normed)
        apply(.queryKeyValue(block: index), work.normed, &work.queryKeyValue)
    }

    /// Computes attention of projected rows, after the norm of their heads and the rotation, which are applied in
    /// place.
    private func attend(
        _ index: Int, _ projected: inout RowBuffer, _ segments: [CacheSegment], _ table: RotaryTable,
        _ attended: inout RowBuffer
    ) throws(KVCacheError) {
        attended.resize(to: table.tokens * configuration.headCount * configuration.headSize)
        var rows = projected.mutableSpan
        var out = attended.mutableSpan
        try attend(&rows, block: index, segments: segments, table: table, into: &out, pool: pool)
    }

    /// Computes attention of a block's queries, keys and values as the product gives them.
    ///
    /// The heads' norm, if the family has one, and the rotation are applied in place; keys and values are appended to
    /// the caches.
    ///
    /// - Parameters:
    ///   - rows: `[tokens, (heads + 2 · keyValueHeads) · headSize]`: the rows of all segments, one after the other.
    ///   - index: The block.
    ///   - segments: Which rows belong to which session.
    ///   - table: Cosines and sines of the rows' positions.
    ///   - out: Receives `[tokens, heads · headSize]`.
    ///   - pool: Threads that share the work; nil computes on the calling thread alone.
    /// - Precondition: Shapes fit, and every cache ends at its segment's position.
    /// - Throws: ``KVCacheError`` when a cache cannot grow; then some caches have more tokens than the others.
    public func attend(
        _ rows: inout MutableSpan<Float>, block index: Int, segments: [CacheSegment], table: RotaryTable,
        into out: inout MutableSpan<Float>, pool: ThreadPool?
    ) throws(KVCacheError) {
        let (heads, kvHeads) = (configuration.headCount, configuration.keyValueHeadCount)
        let size = configuration.headSize
        let stride = (heads + 2 * kvHeads) * size
        precondition(rows.count == table.tokens * stride, "Decoder: not a row for each position")
        rotate(index, &rows, queryHeads: heads, table, pool: pool)
        var row = 0
        for segment in segments {
            let cache = segment.cache.layers[index]
            let start = row * stride
            try cache.append(
                rows.span, keyOffset: start + heads * size, valueOffset: start + (heads + kvHeads) * size,
                stride: stride, tokens: segment.rows)
            attention(
                rows.span, offset: start, stride: stride, tokens: segment.rows, heads: heads, cache: cache,
                scale: attentionScale, cap: configuration.scoreCap, sinks: blocks[index].sinks,
                window: configuration.slidingWindows[index],
                causal: configuration.isCausal && !segment.isMutual, into: &out, at: row * heads * size,
                pool: pool)
            row += segment.rows
        }
    }

    /// Applies the norm of each query and key head, if the family has one, then the rotation, in place.
    ///
    /// A row is its query heads, then its key heads, then its value heads, which are not changed.
    func rotate(
        _ index: Int, _ rows: inout MutableSpan<Float>, queryHeads: Int, _ table: RotaryTable,
        pool: ThreadPool?
    ) {
        let (kvHeads, size) = (configuration.keyValueHeadCount, configuration.headSize)
        let stride = (queryHeads + 2 * kvHeads) * size
        if configuration.queryKeyNorm != .none {
            let perHead = configuration.queryKeyNorm == .heads
            for (offset, heads, weight) in [
                (0, queryHeads, blocks[index].queryNorm), (queryHeads * size, kvHeads, blocks[index].keyNorm),
            ] where heads > 0 {
                rmsNorm(
                    &rows, offset: offset, stride: stride, rows: table.tokens, groups: perHead ? heads : 1,
                    weight: weight.span, epsilon: configuration.normEpsilon, pool: pool)
            }
        }
        // Queries and keys are adjacent and are rotated in the same way.
        switch configuration.rotation(of: index) {
        case .none: break
        case .global, .local:
            table.rotate(
                &rows, offset: 0, stride: stride, heads: queryHeads + kvHeads, headSize: size,
                by: configuration.rotation(of: index) == .global ? 0 : 1, pool: pool)
        }
    }

    /// Applies the norm of what a part of a block computed, if the family has one, in place.
    ///
    /// - Parameters:
    ///   - update: `[tokens, hidden]`, row-major.
    ///   - part: The part that computed it.
    ///   - block: Its number.
    /// - Precondition: The block exists and `update` are whole rows.
    public func normResult(_ update: inout MutableSpan<Float>, of part: BlockPart, block: Int) {
        guard configuration.normPlacement != .sum else { return }
        resultNorm(of: part, block).apply(to: &update, pool: pool)
    }

    /// Applies the norm of the residual stream after a part of a block was added to it, if the family has one, in
    /// place.
    ///
    /// - Precondition: As ``normResult(_:of:block:)``.
    public func normSum(_ hidden: inout MutableSpan<Float>, of part: BlockPart, block: Int) {
        guard configuration.normPlacement == .sum else { return }
        resultNorm(of: part, block).apply(to: &hidden, pool: pool)
    }

    /// The norm of what a part of a block computed, or of its sum with its input.
    private func resultNorm(of part: BlockPart, _ block: Int) -> HiddenNorm {
        part == .attention ? blocks[block].attentionResultNorm : blocks[block].feedForwardResultNorm
    }

    /// Adds what a part of a block computed to the residual stream.
    private func add(
        _ update: inout RowBuffer, of part: BlockPart, _ block: Int, to hidden: inout MutableSpan<Float>
    ) {
        var span = update.mutableSpan
        normResult(&span, of: part, block: block)
        let scale = configuration.residualScale
        if scale == 1 {
            SCXInference.add(span.span, into: &hidden)
        } else {
            for i in hidden.indices { hidden[i] += scale * span[i] }
        }
        normSum(&hidden, of: part, block: block)
    }

    /// Writes to `work.update` what a block's feed-forward network adds to the residual stream.
    func feedForward(_ index: Int, _ hidden: Span<Float>, _ work: inout Workspace) {
        norm(hidden, blocks[index].feedForwardNorm, &work.normed)
        if let size = configuration.feedForwardSize(of: index) {
            apply(.gateUp(block: index), work.normed, &work.gateUp)
            activate(work.gateUp, &work.activated, features: size)
            apply(.down(block: index), work.activated, &work.update)
        }
        if configuration.hasExperts(index) { computeExperts(index, &work) }
    }

    /// Computes the logits of hidden states after the last block: final norm, then head.
    ///
    /// - Parameters:
    ///   - hidden: `[tokens, hidden]`, row-major.
    ///   - workspace: Scratch memory.
    /// - Returns: `[tokens, vocabulary]`, row-major.
    public func logits(_ hidden: Span<Float>, workspace: inout Workspace) -> [Float] {
        norm(hidden, finalNorm, &workspace.normed)
        var logits = product(workspace.normed.span, .head)
        var span = logits.mutableSpan
        finishLogits(&span)
        return logits
    }

    /// Divides and caps logits as the family does, in place.
    ///
    /// - Parameter logits: What the head's product gives.
    public func finishLogits(_ logits: inout MutableSpan<Float>) {
        let divisor = configuration.logitDivisor
        if divisor != 1 { for i in logits.indices { logits[i] /= divisor } }
        guard let cap = configuration.logitCap else { return }
        for i in logits.indices { logits[i] = cap * tanhf(logits[i] / cap) }
    }

    func norm(_ x: Span<Float>, _ norm: HiddenNorm, _ out: inout RowBuffer) {
        out.resize(to: x.count)
        var span = out.mutableSpan
        norm.apply(x, into: &span, pool: pool)
    }

    func activate(_ gateUp: borrowing RowBuffer, _ out: inout RowBuffer, features: Int) {
        out.resize(to: configuration.isGated ? gateUp.count / 2 : gateUp.count)
        var span = out.mutableSpan
        activate(gateUp.span, into: &span, features: features)
    }

    func apply(_ site: DecoderSite, _ x: borrowing RowBuffer, _ out: inout RowBuffer) {
        let site = weights(site)
        out.resize(to: x.count / site.inputs * site.outputs)
        var span = out.mutableSpan
        site.multiply(x.span, into: &span, pool: pool)
    }
}

extension DecoderConfiguration {
    /// Multi-head latent attention: the cache holds for each token one vector, the latent, from which the keys and values
    /// of all heads follow.
    ///
    /// DeepSeek-AI 2024, "DeepSeek-V2", section 2.1 (<https://arxiv.org/abs/2405.04434>). The keys of head h are
    /// c W_h, where c is the latent, so that a query q scores q · (c W_h) = (q W_hᵀ) · c. Therefore attention is computed
    /// with q W_hᵀ over the latents themselves, and the values c V_h follow from the attended latents. For the cache and
    /// for attention there is then one head of keys, whose channels are those that are rotated, then the latent; its values
    /// are the same.
    public struct LatentAttention: Equatable, Sendable {
        /// Channels to which the input of the queries is reduced; nil where the queries follow from the hidden state at
        /// once.
        public var queryRank: Int?
        /// Channels of the latent.
        public var rank: Int
        /// Channels of a head's query and key that are not rotated.
        public var plainSize: Int
        /// Channels of a head's query that are rotated; all heads share the rotated part of the key.
        public var rotatedSize: Int
        /// Channels of a head's value.
        public var valueSize: Int
        /// Whether the two channels that are rotated together are stored beside each other.
        public var isInterleaved = true

        /// Channels of a head's query.
        public var querySize: Int { plainSize + rotatedSize }

        /// ε of the norms of the reduced queries and of the latent, which the reference implementation fixes.
        static let normEpsilon: Float = 1e-6
    }

    /// Channels in which the product `queryKeyValue` gives the queries, before its keys.
    public var projectedQuerySize: Int {
        guard let latent else { return headCount * headSize }
        return latent.queryRank ?? headCount * latent.querySize
    }

    /// Channels of a row of the product `queryKeyValue`.
    var projectedSize: Int {
        guard let latent else { return (headCount + 2 * keyValueHeadCount) * headSize }
        return projectedQuerySize + latent.rank + latent.rotatedSize
    }

    /// Channels of the heads' values side by side, which the attention's output projection takes.
    public var attendedSize: Int { headCount * (latent?.valueSize ?? headSize) }

    /// Where the matrix of a head is stored for ``DecoderSite/queryLatent(block:)`` or ``DecoderSite/valueUp(block:)``.
    ///
    /// Both are parts of one tensor, which has for each head the rows of its keys and then those of its values. A query
    /// is multiplied by the rows of the keys from the other side.
    func place(of site: DecoderSite, head: Int) -> TensorPlace? {
        guard let latent else { return nil }
        let stride = latent.plainSize + latent.valueSize
        let first = head * stride
        switch site {
        case .queryLatent(let block) where layout.latentKeys != nil:
            return latentPlace(layout.latentKeys, latent.rank, latent.plainSize, head: head, block: block)
        case .valueUp(let block) where layout.latentValues != nil:
            return latentPlace(layout.latentValues, latent.valueSize, latent.rank, head: head, block: block)
        case .queryLatent(let block):
            guard var place = place(of: .latentUp, block: block) else { return nil }
            place.rows = 0..<latent.rank
            place.inputs = first..<first + latent.plainSize
            place.isTransposed = true
            return place
        case .valueUp(let block):
            guard var place = place(of: .latentUp, block: block) else { return nil }
            place.rows = first + latent.plainSize..<first + stride
            return place
        default: return nil
        }
    }

    /// Where a head's matrix `[rows, columns]` is among those of all heads.
    private func latentPlace(
        _ name: String?, _ rows: Int, _ columns: Int, head: Int, block: Int
    ) -> TensorPlace? {
        name.map {
            TensorPlace(
                stored: TensorPlan(
                    name: "\(layout.prefix)\(layout.blocks)\(block).\($0)", shape: [headCount, rows, columns]),
                rows: head * rows..<(head + 1) * rows, isTransposed: false)
        }
    }

    /// The stored tensors of a block with the matrices between queries, latents and values, where they are apart.
    func latentTensors(of block: Int) -> [TensorPlan] {
        guard layout.latentKeys != nil else { return [] }
        return [.queryLatent(block: block), .valueUp(block: block)].compactMap {
            place(of: $0, head: 0)?.stored
        }
    }
}

extension Decoder {
    /// The norms and products of latent attention in a block.
    struct LatentLayer: Sendable {
        /// `[queryRank]`; empty where the queries are not reduced.
        let queryNorm: [Float]
        /// The weights of the norm of the latent, `[rank]`.
        let latentNorm: [Float]
        /// The weights `q_b_proj`, `[heads · querySize, queryRank]`; nil where there is none.
        let queryUp: LinearSite?
        /// For each head `[rank, plainSize]`.
        let queryLatent: LinearSite?
        /// For each head `[valueSize, rank]`.
        let valueUp: LinearSite?
    }

    /// Norms the reduced queries of rows of the product `queryKeyValue`.
    ///
    /// - Parameters:
    ///   - projected: `[tokens, queryRank + rank + rotatedSize]`
    ///   - block: The block.
    ///   - out: Receives `[tokens, queryRank]`.
    /// - Precondition: The block reduces its queries, and shapes fit.
    public func reducedQueries(_ projected: Span<Float>, block: Int, into out: inout MutableSpan<Float>) {
        guard let rank = configuration.latent?.queryRank, let layer = blocks[block].latent else {
            preconditionFailure("Decoder: block \(block) does not reduce its queries")
        }
        copyColumns(of: projected, width: configuration.projectedSize, 0..<rank, into: &out)
        rmsNorm(
            &out, rows: out.count / rank, weight: layer.queryNorm.span,
            epsilon: DecoderConfiguration.LatentAttention.normEpsilon, pool: pool)
    }

    /// Gathers the parts of the heads' queries that are not rotated.
    ///
    /// - Parameters:
    ///   - queries: Rows that begin with the queries, `[tokens, stride]`.
    ///   - stride: Channels of a row.
    ///   - out: Receives `[tokens, heads · plainSize]`.
    public func plainQueries(_ queries: Span<Float>, stride: Int, into out: inout MutableSpan<Float>) {
        guard let latent = configuration.latent else { preconditionFailure("Decoder: no latent attention") }
        let (plain, heads) = (latent.plainSize, configuration.headCount)
        let tokens = out.count / (heads * plain)
        precondition(
            out.count == tokens * heads * plain && queries.count == tokens * stride
                && stride >= heads * latent.querySize,
            "Decoder: rows of queries")
        for token in 0..<tokens {
            for head in 0..<heads {
                let (from, to) = (token * stride + head * latent.querySize, (token * heads + head) * plain)
                for c in 0..<plain { out[to + c] = queries[from + c] }
            }
        }
    }

    /// Puts together the rows that ``attend(_:block:segments:table:into:pool:)`` takes: for each head the query's rotated
    /// part and its part against the latent, then the key, then the value.
    ///
    /// The latent is normed. Channels that are rotated together are put where other families have them; the rotation
    /// itself is not applied.
    ///
    /// - Parameters:
    ///   - projected: Rows of the product `queryKeyValue`, `[tokens, projected]`.
    ///   - queries: `[tokens, heads · querySize]`; empty where they are in `projected`.
    ///   - latents: The result of the product `queryLatent`, `[tokens, heads · rank]`.
    ///   - block: The block.
    ///   - out: Receives `[tokens, (heads + 2) · headSize]`.
    public func latentRows(
        _ projected: Span<Float>, queries: Span<Float>, latents: Span<Float>, block: Int,
        into out: inout MutableSpan<Float>
    ) {
        guard let latent = configuration.latent, let layer = blocks[block].latent else {
            preconditionFailure("Decoder: block \(block) has no latent attention")
        }
        let (heads, size) = (configuration.headCount, configuration.headSize)
        let (rank, rotated, plain) = (latent.rank, latent.rotatedSize, latent.plainSize)
        let width = configuration.projectedSize
        let tokens = projected.count / width
        let stride = (heads + 2) * size
        precondition(
            projected.count == tokens * width && latents.count == tokens * heads * rank
                && out.count == tokens * stride
                && (queries.isEmpty || queries.count == tokens * heads * latent.querySize),
            "Decoder: rows of latent attention")
        let half = rotated / 2
        /// The channel at which a rotated channel is stored.
        func stored(_ channel: Int) -> Int {
            guard latent.isInterleaved else { return channel }
            return channel < half ? 2 * channel : 2 * (channel - half) + 1
        }
        let queryStride = queries.isEmpty ? width : heads * latent.querySize
        for token in 0..<tokens {
            for head in 0..<heads {
                let from = token * queryStride + head * latent.querySize + plain
                let to = token * stride + head * size
                for c in 0..<rotated {
                    out[to + c] = queries.isEmpty ? projected[from + stored(c)] : queries[from + stored(c)]
                }
                let own = (token * heads + head) * rank
                for c in 0..<rank { out[to + rotated + c] = latents[own + c] }
            }
            let from = token * width + configuration.projectedQuerySize
            let key = token * stride + heads * size
            for c in 0..<rotated { out[key + c] = projected[from + rank + stored(c)] }
            for c in 0..<rank { out[key + rotated + c] = projected[from + c] }
        }
        rmsNorm(
            &out, offset: heads * size + rotated, stride: stride, rows: tokens, weight: layer.latentNorm.span,
            epsilon: DecoderConfiguration.LatentAttention.normEpsilon, pool: pool)
        for token in 0..<tokens {
            let key = token * stride + heads * size
            // The rotated part of the values is not used.
            for c in 0..<rotated { out[key + size + c] = 0 }
            for c in rotated..<size { out[key + size + c] = out[key + c] }
        }
    }

    /// Gathers the attended latents of the heads.
    ///
    /// - Parameters:
    ///   - attended: The result of attention, `[tokens, heads · headSize]`.
    ///   - out: Receives `[tokens, heads · rank]`.
    public func attendedLatents(_ attended: Span<Float>, into out: inout MutableSpan<Float>) {
        guard let latent = configuration.latent else { preconditionFailure("Decoder: no latent attention") }
        copyColumns(
            of: attended, width: configuration.headSize,
            latent.rotatedSize..<latent.rotatedSize + latent.rank,
            into: &out)
    }

    /// Turns rows of the product `queryKeyValue` into rows for attention, with the products between them.
    func projectLatent(_ block: Int, _ work: inout Workspace) {
        guard let latent = configuration.latent else { return }
        let tokens = work.queryKeyValue.count / configuration.projectedSize
        let plain = tokens * configuration.headCount * latent.plainSize
        if let rank = latent.queryRank {
            write(&work.normed, tokens * rank, from: work.queryKeyValue) { projected, out in
                reducedQueries(projected, block: block, into: &out)
            }
            apply(.queryUp(block: block), work.normed, &work.queries)
            write(&work.activated, plain, from: work.queries) { queries, out in
                plainQueries(queries, stride: configuration.headCount * latent.querySize, into: &out)
            }
        } else {
            work.queries.resize(to: 0)
            write(&work.activated, plain, from: work.queryKeyValue) { projected, out in
                plainQueries(projected, stride: configuration.projectedSize, into: &out)
            }
        }
        apply(.queryLatent(block: block), work.activated, &work.latents)
        latentRows(work.queryKeyValue, work.queries, work.latents, block, &work.attentionRows)
    }

    private func latentRows(
        _ projected: borrowing RowBuffer, _ queries: borrowing RowBuffer, _ latents: borrowing RowBuffer,
        _ block: Int, _ out: inout RowBuffer
    ) {
        let tokens = projected.count / configuration.projectedSize
        write(&out, tokens * (configuration.headCount + 2) * configuration.headSize, from: projected) {
            projected, out in
            latentRows(projected, queries: queries.span, latents: latents.span, block: block, into: &out)
        }
    }

    /// Replaces `work.attended` by the values of the heads.
    func latentValues(_ block: Int, _ work: inout Workspace) {
        guard let latent = configuration.latent else { return }
        let size = work.attended.count / configuration.headSize * latent.rank
        write(&work.latents, size, from: work.attended) { attended, out in
            attendedLatents(attended, into: &out)
        }
        apply(.valueUp(block: block), work.latents, &work.attended)
    }
}

/// Fills a buffer from another one.
private func write(
    _ out: inout RowBuffer, _ count: Int, from source: borrowing RowBuffer,
    _ body: (Span<Float>, inout MutableSpan<Float>) -> Void
) {
    out.resize(to: count)
    var span = out.mutableSpan
    body(source.span, &span)
}

/// Copies the same columns of all rows.
private func copyColumns(
    of rows: Span<Float>, width: Int, _ columns: Range<Int>, into out: inout MutableSpan<Float>
) {
    let count = rows.count / width
    precondition(
        rows.count == count * width && out.count == count * columns.count, "Decoder: columns of rows")
    for row in 0..<count {
        let (from, to) = (row * width + columns.lowerBound, row * columns.count)
        for c in 0..<columns.count { out[to + c] = rows[from + c] }
    }
}

import SCXEncoding
import SCXInference
import SCXLink

/// The exchanges of stage 1, which ``ScxPromptRun`` makes in order.
extension ScxForwardPass {
    /// Computes a block's attention for the rows, including its norm, the product before it, and the rotation.
    func attend(
        _ session: ScxSession, _ block: Int, _ hidden: borrowing Plaintext, _ table: RotaryTable,
        isFirst: Bool
    ) throws(LinkError) -> Plaintext {
        let rows = hidden.rows
        var projected = try project(session, block, hidden, isFirst: isFirst)
        var span = projected.values
        layers.rotate(&span, block: block, queryHeads: shape.heads, table: table)

        let width = projected.channels
        let owned: ProtectedCache? =
            if block < middle.lowerBound {
                session.first[block].cache
            } else if block >= middle.upperBound {
                session.last[block - middle.upperBound].cache
            } else { nil }
        owned?.append(projected)
        if block < middle.lowerBound, session.first[block].key != nil {
            return try attendReusing(session.first[block], session, block, projected)
        }
        // Rows without a cache are the first of their session, and attend only to each other.
        let earlier = (owned?.count ?? rows) - rows
        var attended = Plaintext(rows: rows, channels: shape.queryWidth)
        var first = 0
        while first < rows {
            let queries = first..<min(rows, first + mostQueries(after: earlier + first))
            let key = OneTimeChannelKey(shape, random: &random)
            let exchange: AttentionExchange
            if let owned {
                exchange = encode(key, projected, owned, queries: queries)
            } else {
                exchange = key.encode(
                    queries: HeadRows(projected.span, offset: 0, stride: width, count: rows)
                        .keeping(queries.upperBound).dropping(queries.lowerBound),
                    keyValues: HeadRows(
                        projected.span, offset: shape.queryWidth, stride: width, count: queries.upperBound))
            }
            let part = AttentionPart(queries: queries.count, keys: earlier + queries.upperBound)
            let answer = try link.exchange(
                Request(.attention(layer: block, parts: [part]), exchange.tensor))
            attended.set(rowsFrom: first, to: try exchange.open(answer))
            first = queries.upperBound
        }
        return attended
    }

    /// How many queries fit into one request together with the keys and values to which they attend, of which
    /// `earlier` come before them.
    ///
    /// It is at least one; if even that is too large, the link reports it.
    private func mostQueries(after earlier: Int) -> Int {
        let pair = 2 * shape.keyWidth
        let floats = link.largestTensor / MemoryLayout<Float>.stride - earlier * pair
        return max(1, floats / (shape.queryWidth + pair))
    }

    /// Encodes queries with the keys and values of a cache, from the given token up to the last one to which a query
    /// attends.
    ///
    /// The queries are those of the cache's last tokens; `queries` selects some of them, and nil means all.
    func encode(
        _ key: consuming OneTimeChannelKey, _ projected: borrowing Plaintext, _ cache: ProtectedCache,
        queries chosen: Range<Int>? = nil, from first: Int = 0, _ compression: KeyValueCompression? = nil
    ) -> AttentionExchange {
        var key = Optional(key)
        let chosen = chosen ?? 0..<projected.rows
        let seen = cache.count - projected.rows + chosen.upperBound
        return cache.withRows { pairs in
            let queries = HeadRows(
                projected.span, offset: 0, stride: projected.channels, count: chosen.upperBound
            ).dropping(chosen.lowerBound)
            let keyValues = HeadRows(pairs, offset: 0, stride: 2 * shape.keyWidth, count: seen)
                .dropping(first)
            guard let key = key.take() else { preconditionFailure("ScxForwardPass: the key is used") }
            return key.encode(queries: queries, keyValues: keyValues, compression: compression)
        }
    }

    /// Computes attention with the session's key, for which only the new keys and values are sent.
    func attendReusing(
        _ state: ScxSession.FirstBlock, _ session: ScxSession, _ block: Int, _ projected: borrowing Plaintext
    ) throws(LinkError) -> Plaintext {
        let pending = reusing(state, session, projected)
        var answer = try exchange([pending], block)
        let attended = try pending.open(&answer)
        try answer.finish()
        return attended
    }

    /// Encodes rows, which are the last of the cache, with the session's key.
    func reusing(
        _ state: ScxSession.FirstBlock, _ session: ScxSession, _ projected: borrowing Plaintext
    ) -> PendingAttention {
        let (rows, width) = (projected.rows, projected.channels)
        switch state.key {
        case .some(let key):
            let tensor = key.encodeReusing(
                queries: HeadRows(projected.span, offset: 0, stride: width, count: rows),
                keyValues: HeadRows(projected.span, offset: shape.queryWidth, stride: width, count: rows))
            let part = AttentionPart(
                slot: session.slot, position: state.cache.count - rows, queries: rows, keys: rows)
            return PendingAttention(reusing: part, tensor, state)
        case .none: preconditionFailure("ScxForwardPass: no key for the session")
        }
    }

    /// Exchanges the attention of several sessions in one request.
    func exchange(_ pending: [PendingAttention], _ block: Int) throws(LinkError) -> AnswerParts {
        try AnswerParts(
            link.exchange(
                Request(
                    .attention(layer: block, parts: pending.map(\.part)),
                    EncodedTensor(joining: pending.map(\.tensor)))))
    }

    /// Computes the queries, keys and values of the rows, before the rotation.
    ///
    /// The worker keeps the keys and values of the middle blocks, for key sharing.
    private func project(
        _ session: ScxSession, _ block: Int, _ hidden: borrowing Plaintext, isFirst: Bool
    ) throws(LinkError) -> Plaintext {
        var normed = Plaintext(rows: hidden.rows, channels: hidden.channels)
        var span = normed.values
        layers.attentionNorm(hidden.span, block: block, into: &span)
        let site = DecoderSite.queryKeyValue(block: block)
        let channels = layers.outputs(of: site)
        let isShared = isFirst && middle.contains(block)
        let exchange = rowKey(
            hidden.rows, .attentionInput(block), noise: block == 0 ? noise[0].take(hidden.rows) : nil
        ).encode(normed)
        let answer = try link.exchange(
            Request(
                .linear(
                    layer: block, site: .queryKeyValue, slot: isShared ? session.slot : nil,
                    exact: block == 0),
                exchange.tensor))
        guard isShared else { return try exchange.open(answer, channels: channels) }
        var opened = try exchange.openToShare(answer, channels: channels)
        session.unshared.append(ScxSession.Unshared(layer: block, order: opened.order.take()))
        return opened.takeRows()
    }

    /// Computes what attention's result adds to hidden states.
    func output(_ rows: borrowing Plaintext, _ block: Int) throws(LinkError) -> Plaintext {
        let exchange = rowKey(rows.rows, .outputInput(block)).encode(rows)
        let answer = try link.exchange(
            Request(.linear(layer: block, site: .output, slot: nil, exact: false), exchange.tensor))
        return try exchange.open(answer, channels: configuration.hiddenSize)
    }

    /// Draws a new key for rows of this place.
    func rowKey(
        _ rows: Int, _ place: ModelProfile.Place, noise: consuming OneTimeNoise? = nil
    ) -> OneTimeRowKey {
        let redundant = profile.statistics(of: place).draw(
            options.redundancy.rows(for: rows), random: &random, pool: layers.pool)
        return OneTimeRowKey(rows: rows, redundant: redundant, noise: noise, random: &random)
    }

    /// Computes what a segment asks for, from its hidden states after the last block.
    ///
    /// If only the logits of the last row are wanted, the worker still computes those of all rows, since it must not
    /// learn which row is the last. It answers all logits of each row if these are few in total, and the largest of
    /// each row otherwise.
    func result(of hidden: borrowing Plaintext, _ output: SegmentOutput) throws(LinkError) -> [Float] {
        let vocabulary = embedding.vocabularySize
        switch output {
        case .nothing: return []
        case .hiddenSum: return embedding.normedSum(hidden.span)
        case .lastLogits:
            let exchange = rowKey(hidden.rows, .headInput).encode(hidden)
            let sent = exchange.tensor.rows
            let most = max(Self.fewestCandidates, Self.mostCandidates / sent)
            let count = sent * vocabulary <= Self.mostLogits ? vocabulary : min(vocabulary, most)
            let answer = try link.exchange(Request(.headTopK(count: count), exchange.tensor))
            return try exchange.openLogits(
                answer, vocabulary: vocabulary, wanted: hidden.rows - 1..<hidden.rows)
        case .allLogits:
            // All logits of many rows are more than one answer may hold.
            var logits: [Float] = []
            let part = max(1, 4 * Self.mostLogits / vocabulary)
            for first in stride(from: 0, to: hidden.rows, by: part) {
                let group = hidden.selecting(first..<min(first + part, hidden.rows))
                let exchange = rowKey(group.rows, .headInput).encode(group)
                let answer = try link.exchange(Request(.headTopK(count: vocabulary), exchange.tensor))
                logits += try exchange.openLogits(answer, vocabulary: vocabulary, wanted: 0..<group.rows)
            }
            return logits
        }
    }

    /// Up to this many logits in one answer, all are asked for; they take 64 MiB.
    private static var mostLogits: Int { 1 << 24 }
    /// Otherwise this many are asked for in total, but at least a minimum for each row, because the first token after
    /// the prompt is drawn from them.
    private static var mostCandidates: Int { 1 << 22 }
    private static var fewestCandidates: Int { 256 }
}

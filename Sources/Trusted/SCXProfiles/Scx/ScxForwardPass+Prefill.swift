import SCXEncoding
import SCXInference
import SCXLink

/// The exchanges of stage 1, which ``ScxPromptRun`` makes in order.
extension ScxForwardPass {
    /// Computes a block's attention for the rows, including its norm, the product before it, and the rotation.
    ///
    /// - Parameters:
    ///   - members: The sessions, each with the range of its rows.
    ///   - block: The block's number.
    ///   - hidden: The rows, `[rows, hidden]`.
    ///   - table: The rotation of the rows.
    ///   - isFirst: Whether they are the first rows of their sessions.
    ///   - kept: The slot in which the worker keeps the keys and values of several sessions; nil for a single session,
    ///     whose own slot has them.
    /// - Returns: `[rows, heads · headSize]`
    /// - Throws: ``LinkError`` when an exchange fails.
    func attend(
        _ members: [ScxPromptRun.Member], _ block: Int, _ hidden: borrowing Plaintext, _ table: RotaryTable,
        isFirst: Bool, kept: SharedRows?
    ) throws(LinkError) -> Plaintext {
        var projected = try project(members, block, hidden, isFirst: isFirst, kept)
        rotate(&projected, block, table)

        var attended = Plaintext(rows: hidden.rows, channels: shape.queryWidth)
        // Parts that wait to be sent as one request, and the first of their rows.
        var (pending, start, floats): ([PendingAttention], Int, Int) = ([], 0, 0)
        for member in members {
            let own = projected.selecting(member.rows)
            let cache = member.session.cache(of: block, middle: middle)
            cache?.append(own)
            // Rows without a cache are the first of their session, and attend only to each other.
            let earlier = (cache?.count ?? own.rows) - own.rows
            var first = 0
            while first < own.rows {
                let isReused = block < middle.lowerBound && member.session.first[block].key != nil
                let queries =
                    first..<(isReused
                    ? own.rows : min(own.rows, first + mostQueries(after: earlier + first)))
                let keys = earlier + queries.upperBound
                let size = queries.count * shape.queryWidth + keys * 2 * shape.keyWidth
                let isFull =
                    4 * (floats + size) > min(Self.attentionBytes, link.largestTensor)
                    || pending.count == AttentionPart.limit
                // The parts of one session have the same slot, if any.
                if isFull, !pending.isEmpty {
                    start = try attend(pending, block, into: &attended, from: start)
                    (pending, floats) = ([], 0)
                }
                if isReused {
                    pending.append(reusing(member.session.first[block], member.session, own))
                } else {
                    pending.append(
                        PendingAttention(
                            AttentionPart(queries: queries.count, keys: keys),
                            encode(OneTimeChannelKey(shape, random: &random), own, cache, queries: queries)))
                }
                floats += size
                first = queries.upperBound
            }
        }
        _ = try attend(pending, block, into: &attended, from: start)
        return attended
    }

    /// Computes the attention of several sessions in one exchange, and writes the results into `attended` from row
    /// `row` on.
    ///
    /// - Returns: The number of the row after the last one written.
    func attend(
        _ pending: [PendingAttention], _ block: Int, into attended: inout Plaintext, from row: Int
    ) throws(LinkError) -> Int {
        var answer = try AnswerParts(
            link.exchange(
                Request(
                    .attention(layer: block, parts: pending.map(\.part)),
                    EncodedTensor(joining: pending.map(\.tensor)))))
        var next = row
        for session in pending {
            attended.set(rowsFrom: next, to: try session.open(&answer))
            next += session.part.queries
        }
        try answer.finish()
        return next
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

    /// Encodes queries with the keys and values to which they attend.
    ///
    /// - Parameters:
    ///   - key: The key, which is consumed.
    ///   - projected: The queries, keys and values of a session's last tokens.
    ///   - cache: The keys and values of all of its tokens; nil when there are none before these.
    ///   - chosen: Which of the queries to encode; nil for all.
    ///   - first: The first token to which the queries attend.
    ///   - compression: How keys and values are rounded; nil for not at all.
    /// - Returns: The tensor to send, and the part of the key that opens its answer.
    func encode(
        _ key: consuming OneTimeChannelKey, _ projected: borrowing Plaintext, _ cache: ProtectedCache?,
        queries chosen: Range<Int>? = nil, from first: Int = 0, _ compression: KeyValueCompression? = nil
    ) -> AttentionExchange {
        let chosen = chosen ?? 0..<projected.rows
        let width = projected.channels
        let queries = HeadRows(projected.span, offset: 0, stride: width, count: chosen.upperBound)
            .dropping(chosen.lowerBound)
        guard let cache else {
            return key.encode(
                queries: queries,
                keyValues: HeadRows(
                    projected.span, offset: shape.queryWidth, stride: width, count: chosen.upperBound))
        }
        var key = Optional(key)
        let seen = cache.count - projected.rows + chosen.upperBound
        return cache.withRows { pairs in
            let queries = HeadRows(projected.span, offset: 0, stride: width, count: chosen.upperBound)
                .dropping(chosen.lowerBound)
            let keyValues = HeadRows(pairs, offset: 0, stride: 2 * shape.keyWidth, count: seen)
                .dropping(first)
            guard let key = key.take() else { preconditionFailure("ScxForwardPass: the key is used") }
            return key.encode(queries: queries, keyValues: keyValues, compression: compression)
        }
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

    /// Computes the queries, keys and values of the rows, before the rotation.
    ///
    /// The worker keeps the keys and values of the middle blocks, for key sharing.
    private func project(
        _ members: [ScxPromptRun.Member], _ block: Int, _ hidden: borrowing Plaintext, isFirst: Bool,
        _ kept: SharedRows?
    ) throws(LinkError) -> Plaintext {
        var normed = Plaintext(rows: hidden.rows, channels: hidden.channels)
        var span = normed.values
        layers.attentionNorm(hidden.span, block: block, into: &span)
        if block == 0 {
            return try projectNoised(normed, 0, among: redundantRows(hidden.rows, .attentionInput(0)))
        }
        let channels = layers.outputs(of: .queryKeyValue(block: block))
        let isShared = isFirst && middle.contains(block)
        let exchange = rowKey(hidden.rows, .attentionInput(block)).encode(normed)
        let answer = try link.exchange(
            Request(
                .linear(
                    layer: block, site: .queryKeyValue,
                    slot: isShared ? kept?.slot ?? members[0].session.slot : nil, exact: false),
                exchange.tensor))
        guard isShared else { return try exchange.open(answer, channels: channels) }
        return try exchange.openToShare(answer, channels: channels, parts: members.map(\.rows)) { i, order in
            members[i].session.unshared.append(
                ScxSession.Unshared(layer: block, order: order, source: kept))
        }
    }

    /// Computes what attention's result adds to hidden states.
    func output(_ rows: borrowing Plaintext, _ block: Int) throws(LinkError) -> Plaintext {
        let exchange = rowKey(rows.rows, .outputInput(block)).encode(rows)
        let answer = try link.exchange(
            Request(.linear(layer: block, site: .output, slot: nil, exact: false), exchange.tensor))
        return try exchange.open(answer, channels: configuration.hiddenSize)
    }

    /// Draws a new key for rows of this place.
    func rowKey(_ rows: Int, _ place: ModelProfile.Place) -> OneTimeRowKey {
        OneTimeRowKey(rows: rows, redundant: redundantRows(rows, place), noise: nil, random: &random)
    }

    /// Draws as many redundant rows as `rows` rows of this place need.
    private func redundantRows(_ rows: Int, _ place: ModelProfile.Place) -> Plaintext {
        profile.statistics(of: place).draw(
            options.redundancy.rows(for: rows), random: &random, pool: layers.pool)
    }

    /// Computes what segments ask for, from their hidden states after the last block.
    ///
    /// If only the logits of each segment's last row are wanted, the worker still computes those of all rows, since it
    /// must not learn which rows are the last. It answers all logits of each row if these are few in total, and the
    /// largest of each row otherwise. How many these are does not depend on the prompts with which one was computed, so
    /// that its first token is drawn from the same logits alone and among others.
    ///
    /// - Parameters:
    ///   - hidden: The rows of all segments, `[rows, hidden]`.
    ///   - members: The segments, each with the range of its rows; several only if all want their last logits.
    /// - Returns: For each segment what it asks for.
    /// - Throws: ``LinkError`` when an exchange fails.
    func results(of hidden: borrowing Plaintext, _ members: [ScxPromptRun.Member]) throws(LinkError)
        -> [[Float]]
    {
        let vocabulary = embedding.vocabularySize
        switch members[0].segment.output {
        case .nothing: return [[]]
        case .hiddenStates: return [embedding.normed(hidden.span)]
        case .lastLogits:
            let exchange = rowKey(hidden.rows, .headInput).encode(hidden)
            let count = candidates(rows: hidden.rows)
            let answer = try link.exchange(Request(.headTopK(count: count), exchange.tensor))
            let logits = try exchange.openLogits(
                answer, vocabulary: vocabulary, wanted: members.map { $0.rows.upperBound - 1 })
            return members.indices.map { Array(logits[$0 * vocabulary..<($0 + 1) * vocabulary]) }
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
            return [logits]
        }
    }

    /// How many logits of each row are asked for, in an exchange of this many rows besides redundant ones.
    private func candidates(rows: Int) -> Int {
        let (shared, vocabulary) = (max(rows, Self.mostSharedRows), embedding.vocabularySize)
        let sent = shared + options.redundancy.rows(for: shared)
        guard sent * vocabulary > Self.mostLogits else { return vocabulary }
        return min(vocabulary, max(Self.fewestCandidates, Self.mostCandidates / sent))
    }

    /// The most rows of prompts that are computed together; the engine groups no more.
    private static var mostSharedRows: Int { 512 }
    /// Up to this many logits in one answer, all are asked for; they take 64 MiB.
    private static var mostLogits: Int { 1 << 24 }
    /// Otherwise this many are asked for in total, but at least a minimum for each row, because the first token after
    /// the prompt is drawn from them.
    private static var mostCandidates: Int { 1 << 22 }
    private static var fewestCandidates: Int { 256 }
}

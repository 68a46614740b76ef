import SCXEncoding
import SCXInference
import SCXLink

/// Stages 2 and 3 of profile `scx`: key sharing, then one token at a time.
extension ScxForwardPass {
    /// Gives the worker the order of the rows of the middle blocks, so that it can use their keys and values.
    func shareKeys(_ session: ScxSession) throws(LinkError) {
        for unshared in session.unshared {
            guard let order = unshared.order.take() else { continue }
            _ = try link.exchange(
                order.share(
                    slot: session.slot, layer: unshared.layer, position: 0, from: unshared.source?.slot))
        }
        session.unshared = []
    }

    /// Has the worker free the rows of prompts that were computed together, once no session needs them.
    func releaseUnused() throws(LinkError) {
        while let slot = unused.slots.popLast() { _ = try link.exchange(Request(.release(slot: slot))) }
    }

    /// Gives the worker the keys of the last blocks to hold, each in a new secret order.
    private func lockTail(_ session: ScxSession) throws(LinkError) {
        for (index, block) in session.last.enumerated() where block.key == nil {
            let layer = middle.upperBound + index
            let redundant = profile.statistics(of: .keys(layer)).draw(
                options.redundancy.rows(for: block.cache.count), random: &random, pool: layers.pool)
            let key = TailKey(
                shape, tokens: block.cache.count, redundant: redundant.rows, random: &random)
            _ = try link.exchange(
                Request(
                    .lockTail(slot: session.slot, layer: layer), key.lock(block.cache, redundant: redundant)))
            block.key = consume key
            block.generated = 0
        }
    }

    /// Computes one token of each session.
    ///
    /// - Returns: `[sessions, vocabulary]`
    func generate(_ steps: [(session: ScxSession, token: Int32)]) throws(LinkError) -> [Float] {
        for step in steps {
            try shareKeys(step.session)
            try lockTail(step.session)
        }
        try releaseUnused()
        var hidden = embedding.rows(of: steps.map(\.token))
        for block in 0..<options.firstBlocks {
            hidden.add(product(try attendFirst(steps.map(\.session), block, hidden), .output(block: block)))
            hidden.add(try feedForward(EncodedTensor(inClear: hidden), block))
        }
        let segments = steps.map { Segment(slot: $0.session.slot, position: $0.session.count, rows: 1) }
        if !middle.isEmpty { hidden = try runMiddle(hidden, segments) }
        for index in 0..<options.lastBlocks {
            let block = middle.upperBound + index
            hidden.add(
                product(try attendLast(steps.map(\.session), segments, index, hidden), .output(block: block)))
            let scaled = EncodedTensor(scaledToFixedNorm: hidden, epsilon: configuration.normEpsilon)
            hidden.add(try feedForward(scaled, block))
        }
        for step in steps { step.session.count += 1 }
        return layers.logits(hidden.span, workspace: &workspace)
    }

    /// Has the worker run the middle blocks on hidden states, which it gets in clear.
    func runMiddle(_ hidden: borrowing Plaintext, _ segments: [Segment]) throws(LinkError) -> Plaintext {
        let answer = try link.exchange(
            Request(.middle(blocks: middle, segments: segments), EncodedTensor(inClear: hidden)))
        return try plain(answer, rows: hidden.rows, channels: hidden.channels)
    }

    /// Computes a first block's attention, for one token of each session.
    private func attendFirst(
        _ sessions: [ScxSession], _ block: Int, _ hidden: borrowing Plaintext
    ) throws(LinkError) -> Plaintext {
        var normed = Plaintext(rows: hidden.rows, channels: hidden.channels)
        var span = normed.values
        layers.attentionNorm(hidden.span, block: block, into: &span)
        // The rows belong to different sessions, one to each, so their order hides nothing; only the noise does.
        let projected = try projectNoised(
            normed, block, among: Plaintext(rows: 0, channels: hidden.channels))

        var attended = Plaintext(rows: sessions.count, channels: shape.queryWidth)
        var (pending, bytes): ([PendingAttention], Int) = ([], 0)
        for (row, session) in sessions.enumerated() {
            var own = projected.selecting(row...row)
            rotate(&own, block, layers.rotaryTable(positions: session.count..<session.count + 1))
            let next = prepare(session, block, own)
            let isFull =
                bytes + 4 * next.tensor.channels > Self.attentionBytes || pending.count == AttentionPart.limit
            if isFull, !pending.isEmpty {
                _ = try attend(pending, block, into: &attended, from: row - pending.count)
                (pending, bytes) = ([], 0)
            }
            pending.append(next)
            bytes += 4 * next.tensor.channels
        }
        _ = try attend(pending, block, into: &attended, from: sessions.count - pending.count)
        return attended
    }

    /// How many bytes of several sessions' keys and values are sent in one exchange, which is within a worker's usual
    /// limit.
    ///
    /// Those of a single session may be more.
    static var attentionBytes: Int { 1 << 26 }

    /// Appends a token to a first block's cache and encodes its attention.
    private func prepare(
        _ session: ScxSession, _ block: Int, _ projected: borrowing Plaintext
    ) -> PendingAttention {
        let state = session.first[block]
        state.cache.append(projected)
        if state.key != nil { return reusing(state, session, projected) }
        // The first of the tokens to which the query attends.
        let first = configuration.slidingWindows[block].map { max(0, state.cache.count - $0) } ?? 0
        let exchange = encode(
            OneTimeChannelKey(shape, random: &random), projected, state.cache, from: first,
            state.compression(options.compression, shape))
        return PendingAttention(
            AttentionPart(queries: 1, keys: state.cache.count - first), exchange)
    }

    /// Computes a last block's attention: the scores come from the worker, the softmax and the values are computed
    /// here.
    private func attendLast(
        _ sessions: [ScxSession], _ segments: [Segment], _ index: Int, _ hidden: borrowing Plaintext
    ) throws(LinkError) -> Plaintext {
        let block = middle.upperBound + index
        var answer = try AnswerParts(
            link.exchange(
                Request(.tailScores(layer: block, segments: segments), EncodedTensor(inClear: hidden))))
        var attended = Plaintext(rows: sessions.count, channels: shape.queryWidth)
        for (row, session) in sessions.enumerated() {
            let state = session.last[index]
            state.generated += 1
            let scores: TailScores
            switch state.key {
            case .some(let key): scores = try key.open(&answer, generated: state.generated)
            case .none: preconditionFailure("ScxForwardPass: the keys are not locked")
            }
            state.cache.append(scores.keyValues)
            attended.set(row, to: weigh(scores, state.cache, window: configuration.slidingWindows[block]))
        }
        try answer.finish()
        return attended
    }

    /// The sum of values weighted by the softmax of scores: attention's result for one token.
    private func weigh(_ tail: consuming TailScores, _ cache: ProtectedCache, window: Int?) -> Plaintext {
        var tail = tail
        let tokens = cache.count
        let hidden = window.map { max(0, tokens - $0) } ?? 0
        let (width, size, group) = (shape.keyWidth, shape.headSize, shape.heads / shape.keyValueHeads)
        var attended = Plaintext(rows: 1, channels: shape.queryWidth)
        var out = attended.values
        for head in 0..<shape.heads {
            tail.scores.withRow(head) { row in
                for token in 0..<hidden { row[token] = -.infinity }
                softmax(&row)
            }
        }
        let weights = tail.scores.span
        cache.withRows { pairs in
            for head in 0..<shape.heads {
                let values = width + head / group * size
                for token in hidden..<tokens {
                    let weight = weights[head * tokens + token]
                    let from = token * 2 * width + values
                    for c in 0..<size { out[head * size + c] += weight * pairs[from + c] }
                }
            }
        }
        return attended
    }

    /// Computes a product on the trusted side.
    private func product(_ rows: borrowing Plaintext, _ site: DecoderSite) -> Plaintext {
        var result = Plaintext(rows: rows.rows, channels: layers.outputs(of: site))
        var out = result.values
        layers.product(rows.span, site, into: &out)
        return result
    }

    private func feedForward(_ rows: EncodedTensor, _ block: Int) throws(LinkError) -> Plaintext {
        let answer = try link.exchange(Request(.feedForward(layer: block), rows))
        return try plain(answer, rows: rows.rows, channels: rows.channels)
    }

    /// Reads an answer that is not encoded.
    private func plain(_ answer: Answer, rows: Int, channels: Int) throws(LinkError) -> Plaintext {
        guard case .tensor(let tensor) = answer, tensor.rows == rows, tensor.channels == channels else {
            throw .unexpectedAnswer("expected \(rows) rows of \(channels) channels")
        }
        return Plaintext(receivedInClear: tensor)
    }
}

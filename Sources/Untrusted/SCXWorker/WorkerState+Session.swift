import SCXInference
import SCXLink

/// The numbers of an `attention` request.
struct AttentionShape {
    let position: Int
    let queries: Int
    let keys: Int
}

/// Requests that work on one session's keys and values, or on nothing but their own rows.
extension WorkerState {
    /// Floats of one position's keys, or values.
    private var keyWidth: Int { configuration.keyValueHeadCount * configuration.headSize }

    mutating func attention(
        _ request: Request, _ tensor: EncodedTensor, _ layer: Int, _ key: SlotKey?, _ shape: AttentionShape
    ) throws(LinkError) -> Answer {
        try check(layer: layer)
        let (position, queries, keys) = (shape.position, shape.queries, shape.keys)
        let slot = key.map { memory[$0] ?? WorkerSlot(model) }
        let cache = slot?.encoded[layer] ?? model.makeLayerCache()
        let longest = configuration.maximumLength
        guard (0...cache.count).contains(position), (0...longest - position).contains(keys),
            queries > 0, queries <= position + keys
        else {
            throw .invalidRequest(
                "\(queries) queries and \(keys) keys at position \(position), where \(cache.count) are held")
        }
        let width = configuration.headCount * configuration.headSize
        // No overflow: both counts are at most the model's length.
        guard tensor.rows == 1, tensor.values.count == queries * width + keys * 2 * keyWidth else {
            throw .invalidRequest("\(tensor.values.count) numbers for \(queries) queries and \(keys) keys")
        }
        try check(answerRows: queries, channels: width)
        if let key, let slot {
            try memory.check(
                adding: cache.byteCount(tokens: position + keys) - cache.byteCount,
                slots: memory[key] == nil ? 1 : 0)
            slot.encoded[layer] = cache
        }
        defer { if let key, let slot { memory.keep(slot, at: key) } }
        cache.truncate(to: position)
        statistics.batches += 1
        let attended: [Float]
        do {
            attended = try model.attend(
                tensor.values.span, queries: queries, keys: keys, block: layer, cache: cache)
        } catch {
            throw .workerFull("\(error)")
        }
        return .tensor(EncodedTensor(resultOf: request, channels: attended.count, values: attended))
    }

    mutating func unlock(
        _ key: SlotKey, _ layer: Int, _ position: Int, _ rows: [UInt32]
    ) throws(LinkError) -> Answer {
        try check(layer: layer)
        guard let slot = memory[key], let stored = slot.unordered[layer] else {
            throw .invalidRequest("no rows to unlock in layer \(layer)")
        }
        let count = stored.count / (2 * keyWidth)
        guard !rows.isEmpty, rows.allSatisfy({ $0 < count }) else {
            throw .invalidRequest("a permutation that does not fit \(count) rows")
        }
        let cache = slot.cache.layers[layer]
        guard (0...cache.count).contains(position), rows.count <= configuration.maximumLength - position
        else {
            throw .invalidRequest(
                "\(rows.count) rows to unlock at position \(position), where \(cache.count) are held")
        }
        try memory.check(adding: cache.byteCount(tokens: position + rows.count) - cache.byteCount)
        var ordered: [Float] = []
        ordered.reserveCapacity(rows.count * 2 * keyWidth)
        for row in rows {
            let start = Int(row) * 2 * keyWidth
            ordered += stored[start..<start + 2 * keyWidth]
        }
        var span = ordered.mutableSpan
        defer { memory.keep(slot, at: key) }
        cache.truncate(to: position)
        do { try model.append(&span, block: layer, to: cache) } catch { throw .workerFull("\(error)") }
        slot.unordered[layer] = nil
        return .done
    }

    mutating func lockTail(_ tensor: EncodedTensor, _ key: SlotKey, _ layer: Int) throws(LinkError) -> Answer
    {
        try check(layer: layer)
        guard tensor.channels == keyWidth, tensor.rows > 0 else {
            throw .invalidRequest("keys to lock need rows of \(keyWidth) channels")
        }
        let slot = memory[key] ?? WorkerSlot(model)
        try memory.check(
            adding: tensor.byteCount - (slot.tail[layer]?.capacity ?? 0) * 4,
            slots: memory[key] == nil ? 1 : 0)
        slot.tail[layer] = model.roundedAsCached(tensor.values[...])
        memory.keep(slot, at: key)
        return .done
    }

    mutating func tailScores(
        _ request: Request, _ tensor: EncodedTensor, _ key: SlotKey, _ layer: Int, _ position: Int
    ) throws(LinkError) -> Answer {
        try check(layer: layer)
        guard tensor.rows == 1, tensor.channels == configuration.hiddenSize else {
            throw .invalidRequest("scores of the tail need one row of \(configuration.hiddenSize) channels")
        }
        guard (0..<configuration.maximumLength).contains(position) else {
            throw .invalidRequest("position \(position) of \(configuration.maximumLength)")
        }
        guard let slot = memory[key], let locked = slot.tail[layer] else {
            throw .invalidRequest("no keys are locked in layer \(layer)")
        }
        let tokens = locked.count / keyWidth + 1
        try check(answerRows: tokens, channels: configuration.headCount)
        // Memory for some tokens at once: growing copies.
        let room = tokens * keyWidth > locked.capacity ? 64 * keyWidth : 0
        try memory.check(adding: room * 4)

        let queryWidth = configuration.headCount * configuration.headSize
        statistics.batches += 1
        let row = model.queryKeyValue(
            tensor.values.span, block: layer, position: position, workspace: &workspace)
        if room > 0 { slot.tail[layer]?.reserveCapacity(locked.count + room) }
        slot.tail[layer]? += model.roundedAsCached(row[queryWidth..<queryWidth + keyWidth])
        memory.keep(slot, at: key)

        var answer = Array(row[queryWidth...])
        answer += [Float](repeating: 0, count: configuration.headCount * tokens)
        var span = answer.mutableSpan
        let keys = slot.tail[layer] ?? []
        model.scores(row.span.extracting(..<queryWidth), keys.span, into: &span, at: 2 * keyWidth)
        return .tensor(EncodedTensor(resultOf: request, channels: answer.count, values: answer))
    }
}

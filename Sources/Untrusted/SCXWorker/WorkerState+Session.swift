import SCXInference
import SCXLink

/// Requests that use the keys and values of sessions.
extension WorkerState {
    /// How many floats the keys of one position have, and its values.
    private var keyWidth: Int { configuration.keyValueHeadCount * configuration.headSize }

    /// What is needed to compute one part of an attention.
    private struct AttentionPlace {
        let part: AttentionPart
        let cache: LayerCache
        /// The slot to which the cache belongs; nil when nothing is kept.
        let slot: (slot: WorkerSlot, key: SlotKey)?
        /// Which values of the request's row belong to the part.
        let values: Range<Int>
    }

    mutating func attention(
        _ job: Job, _ tensor: EncodedTensor, _ layer: Int, _ parts: [AttentionPart]
    ) throws(LinkError) -> Answer {
        let places = try attentionPlaces(job.connection, tensor, layer, parts)
        for place in places {
            guard let (slot, key) = place.slot else { continue }
            slot.encoded[layer] = place.cache
            place.cache.truncate(to: place.part.position)
            memory.keep(slot, at: key)
        }
        statistics.batches += 1
        defer { for case (let slot, let key)? in places.map(\.slot) { memory.keep(slot, at: key) } }
        var answer: [Float] = []
        do {
            for place in places {
                let attended = try model.attend(
                    tensor.values.span.extracting(place.values), queries: place.part.queries,
                    keys: place.part.keys, block: layer, cache: place.cache)
                // The values of a single part are not copied.
                if answer.isEmpty { answer = attended } else { answer += attended }
            }
        } catch {
            // Cut the caches back to where the request began, so that it can be sent again once there is memory.
            for place in places { place.cache.truncate(to: place.part.position) }
            throw .workerFull("\(error)")
        }
        return .tensor(EncodedTensor(resultOf: job.request, channels: answer.count, values: answer))
    }

    /// Finds the caches and values of the parts, and changes nothing.
    private func attentionPlaces(
        _ connection: UInt64, _ tensor: EncodedTensor, _ layer: Int, _ parts: [AttentionPart]
    ) throws(LinkError) -> [AttentionPlace] {
        try check(layer: layer)
        let slots = parts.compactMap(\.slot)
        guard Set(slots).count == slots.count else { throw .invalidRequest("two parts of one slot") }
        let (longest, width) = (
            configuration.maximumLength, configuration.headCount * configuration.headSize
        )
        var places: [AttentionPlace] = []
        var (numbers, queries, bytes, fresh) = (0, 0, 0, 0)
        for part in parts {
            let key = part.slot.map { SlotKey(connection: connection, number: $0.number) }
            let held = key.flatMap { memory[$0] }
            let slot = key.map { _ in held ?? WorkerSlot(model) }
            let cache = slot?.encoded[layer] ?? model.makeLayerCache()
            guard (0...cache.count).contains(part.position),
                (0...longest - part.position).contains(part.keys),
                part.queries > 0, part.queries <= part.position + part.keys
            else {
                throw .invalidRequest(
                    "\(part.queries) queries and \(part.keys) keys at position \(part.position), "
                        + "where \(cache.count) are held")
            }
            // This cannot overflow: both counts are at most the model's length, and there are no more parts than a
            // frame can name.
            let values = numbers..<numbers + part.queries * width + part.keys * 2 * keyWidth
            numbers = values.upperBound
            queries += part.queries
            if slot != nil {
                bytes += cache.byteCount(tokens: part.position + part.keys) - cache.byteCount
                if held == nil { fresh += 1 }
            }
            places.append(
                AttentionPlace(
                    part: part, cache: cache, slot: slot.flatMap { slot in key.map { (slot, $0) } },
                    values: values))
        }
        guard tensor.rows == 1, tensor.values.count == numbers else {
            throw .invalidRequest(
                "\(tensor.values.count) numbers, where \(parts.count) parts of attention have \(numbers)")
        }
        try check(answerRows: queries, channels: width)
        try memory.check(adding: bytes, slots: fresh)
        return places
    }

    mutating func unlock(
        _ key: SlotKey, _ layer: Int, _ position: Int, _ rows: [UInt32], of source: SlotKey
    ) throws(LinkError) -> Answer {
        try check(layer: layer)
        guard let stored = memory[source]?.unordered[layer] else {
            throw .invalidRequest("no rows to unlock in layer \(layer)")
        }
        let slot = memory[key] ?? WorkerSlot(model)
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
        try memory.check(
            adding: cache.byteCount(tokens: position + rows.count) - cache.byteCount,
            slots: memory[key] == nil ? 1 : 0)
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
        if source == key { slot.unordered[layer] = nil }
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
        _ job: Job, _ tensor: EncodedTensor, _ layer: Int, _ segments: [Segment]
    ) throws(LinkError) -> Answer {
        let (slots, count) = try tailSlots(job.connection, tensor, layer, segments)
        var table = model.rotaryTable(positions: 0..<0)
        for segment in segments { table.append(positions: segment.position..<segment.position + 1) }
        statistics.batches += 1
        var normed = [Float](repeating: 0, count: tensor.values.count)
        var span = normed.mutableSpan
        model.attentionNorm(tensor.values.span, block: layer, into: &span)
        var rows = model.product(normed.span, .queryKeyValue(block: layer))
        var rowSpan = rows.mutableSpan
        model.rotate(&rowSpan, block: layer, queryHeads: configuration.headCount, table: table)

        let queryWidth = configuration.headCount * configuration.headSize
        var answer: [Float] = []
        answer.reserveCapacity(count)
        for (i, (slot, key)) in slots.enumerated() {
            let row = i * (queryWidth + 2 * keyWidth)
            let own = row + queryWidth
            let held = slot.tail[layer]?.count ?? 0
            if held + keyWidth > slot.tail[layer]?.capacity ?? 0 {
                slot.tail[layer]?.reserveCapacity(held + Self.tailRoom * keyWidth)
            }
            slot.tail[layer]? += model.roundedAsCached(rows[own..<own + keyWidth])
            memory.keep(slot, at: key)

            let keys = slot.tail[layer] ?? []
            answer += rows[own..<own + 2 * keyWidth]
            let scores = answer.count
            answer += repeatElement(0, count: configuration.headCount * (keys.count / keyWidth))
            var out = answer.mutableSpan
            model.scores(rows.span.extracting(row..<own), keys.span, into: &out, at: scores)
        }
        return .tensor(EncodedTensor(resultOf: job.request, channels: answer.count, values: answer))
    }

    /// For how many keys memory is added at once, since each growth copies the locked keys.
    private static var tailRoom: Int { 64 }

    /// Finds the slots of the segments and how many numbers the answer has, and changes nothing.
    private func tailSlots(
        _ connection: UInt64, _ tensor: EncodedTensor, _ layer: Int, _ segments: [Segment]
    ) throws(LinkError) -> (slots: [(slot: WorkerSlot, key: SlotKey)], count: Int) {
        try check(layer: layer)
        guard configuration.latent == nil else {
            throw .invalidRequest("scores of tails, which a model with latent attention has not")
        }
        guard tensor.channels == configuration.hiddenSize, tensor.rows == segments.count,
            segments.allSatisfy({ $0.rows == 1 })
        else {
            throw .invalidRequest(
                "scores of \(segments.count) tails need as many rows of \(configuration.hiddenSize) channels")
        }
        guard Set(segments.map(\.slot)).count == segments.count else {
            throw .invalidRequest("two segments of one slot")
        }
        var slots: [(WorkerSlot, SlotKey)] = []
        var (count, bytes) = (0, 0)
        for segment in segments {
            guard (0..<configuration.maximumLength).contains(segment.position) else {
                throw .invalidRequest("position \(segment.position) of \(configuration.maximumLength)")
            }
            let key = SlotKey(connection: connection, number: segment.slot.number)
            guard let slot = memory[key], let locked = slot.tail[layer] else {
                throw .invalidRequest("no keys are locked in layer \(layer)")
            }
            count += 2 * keyWidth + configuration.headCount * (locked.count / keyWidth + 1)
            if locked.count + keyWidth > locked.capacity { bytes += 4 * Self.tailRoom * keyWidth }
            slots.append((slot, key))
        }
        try check(answerRows: count, channels: 1)
        try memory.check(adding: bytes)
        return (slots, count)
    }
}

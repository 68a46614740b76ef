import SCXInference
import SCXLink

/// The weights of a product that requests of several sessions can share.
enum SharedProduct: Equatable {
    case middle(Range<Int>)
    case linear(DecoderSite, exact: Bool)
    case feedForward(Int)
    case head
    case ring(DecoderSite, groups: [Int]?)
}

extension WorkerState {
    /// The weights that a request can share with others; nil when it has to be computed alone.
    func sharedProduct(_ request: Request) throws(LinkError) -> SharedProduct? {
        try checkShard(request)
        switch request.operation {
        case .middle(let blocks, _):
            let all =
                blocks.lowerBound < configuration.blockCount
                ? 0..<configuration.blockCount : configuration.towerBlocks
            guard !blocks.isEmpty, all.contains(blocks.lowerBound), blocks.upperBound <= all.upperBound
            else {
                throw .invalidRequest("blocks \(blocks), the model has \(configuration.blockCount)")
            }
            return .middle(blocks)
        case .linear(let layer, let site, let slot, let exact):
            guard slot == nil || site == .queryKeyValue else {
                throw .invalidRequest("a slot for a site that is not queryKeyValue")
            }
            guard slot == nil || configuration.latent == nil else {
                throw .invalidRequest("a slot for keys and values, which latent attention does not give")
            }
            guard slot == nil || layer < configuration.blockCount else {
                throw .invalidRequest("a slot for keys and values of a picture, which are not kept")
            }
            let name = try decoderSite(layer, site)
            guard configuration.groups(of: name) == 1 else {
                throw .invalidRequest(
                    "'\(site)' of layer \(layer), which has several matrices and multiplies integers alone")
            }
            guard !exact || !model.isRing || configuration.owner(of: name).ringPlanes == 1 else {
                throw .invalidRequest("exact products of a model whose weights are two matrices of integers")
            }
            return .linear(name, exact: exact)
        case .linearRing(let layer, let site, let groups):
            let name = try ringSite(layer, site)
            if let groups {
                guard let last = groups.last, last < configuration.groups(of: name) else {
                    throw .invalidRequest("groups of '\(site)' that layer \(layer) does not have")
                }
            }
            return .ring(name, groups: groups)
        case .feedForward(let layer):
            try check(layer: layer)
            return .feedForward(layer)
        case .headTopK:
            try checkHead()
            return .head
        case .attention, .unlock, .lockTail, .tailScores, .padProducts, .release, .stats:
            return nil
        }
    }

    /// Refuses requests that need whole sites, when this worker holds a shard.
    ///
    /// - Throws: ``LinkError/invalidRequest(_:)``
    private func checkShard(_ request: Request) throws(LinkError) {
        switch request.operation {
        case .linearRing, .padProducts, .stats, .release: return
        default:
            guard model.shard == .whole else {
                throw .invalidRequest("this worker holds a part of each site and multiplies integers alone")
            }
        }
    }

    /// Checks that the model has an output head.
    ///
    /// - Throws: ``LinkError/invalidRequest(_:)`` when it has not.
    private func checkHead() throws(LinkError) {
        guard configuration.hasHead else { throw .invalidRequest("the head, which this model has not") }
    }

    /// The decoder's name for the site of a request.
    private func decoderSite(_ layer: Int, _ site: Site) throws(LinkError) -> DecoderSite {
        if site == .head {
            guard layer == 0 else { throw .invalidRequest("layer \(layer) of the head, which has none") }
            try checkHead()
            return .head
        }
        if !configuration.towerBlocks.contains(layer) { try check(layer: layer) }
        let name = DecoderSite(site, layer: layer)
        guard configuration.has(name) else { throw .invalidRequest("layer \(layer) has no '\(site)'") }
        return name
    }

    /// The decoder's name for a site, if it can be multiplied modulo 2³².
    func ringSite(_ layer: Int, _ site: Site) throws(LinkError) -> DecoderSite {
        guard model.isRing else {
            throw .invalidRequest("products of integers need a worker with int8 weights ('--weights int8')")
        }
        return try decoderSite(layer, site)
    }

    /// Answers requests that share their weights by one product.
    mutating func answer(_ jobs: [Job], with product: SharedProduct) -> [Result<Answer, LinkError>] {
        statistics.batches += 1
        return switch product {
        case .middle(let blocks):
            blocks.lowerBound < configuration.blockCount ? middle(jobs, blocks) : tower(jobs, blocks)
        case .linear(let site, let exact): linear(jobs, site, exact: exact)
        case .feedForward(let layer): feedForward(jobs, layer)
        case .head: head(jobs)
        case .ring(let site, let groups): ring(jobs, site, groups)
        }
    }

    private func ring(
        _ jobs: [Job], _ site: DecoderSite, _ groups: [Int]?
    ) -> [Result<Answer, LinkError>] {
        let all = configuration.groups(of: site)
        let count = groups?.count ?? all
        let outputs = model.ringOutputs(of: site) / all * count
        var batch = RowBatch<UInt32>(jobs, channels: model.inputs(of: site) / all * count) {
            _, rows throws(LinkError) in
            try check(answerRows: rows, channels: outputs)
        }
        guard batch.rows > 0 else { return batch.answers }
        let result = model.ringProduct(batch.values.span, site, groups: groups)
        batch.answer(result, channels: outputs)
        return batch.answers
    }

    /// Expands a batch of pads from its seed and multiplies them.
    mutating func padProducts(
        _ job: Job, _ site: DecoderSite, _ seed: PadSeed, first: Int, rows: Int
    ) throws(LinkError) -> Answer {
        let (inputs, outputs) = (model.inputs(of: site), model.ringOutputs(of: site))
        guard (1...PadSeed.rowLimit).contains(rows), (0...Int(UInt32.max)).contains(first) else {
            throw .invalidRequest("pads of \(rows) rows from \(first) on")
        }
        try check(answerRows: rows, channels: max(inputs, outputs))
        statistics.batches += 1
        var pads = [UInt32](repeating: 0, count: rows * inputs)
        var span = pads.mutableSpan
        seed.expand(rows: UInt64(first)..<UInt64(first + rows), inputs: inputs, into: &span)
        return .ring(
            RingTensor(
                resultOf: job.request, channels: outputs, values: model.ringProduct(pads.span, site)))
    }

    private mutating func linear(
        _ jobs: [Job], _ site: DecoderSite, exact: Bool
    ) -> [Result<Answer, LinkError>] {
        let weights: PackedMatrix?
        do throws(KernelError) {
            weights = exact ? try exactWeights(of: site) : nil
        } catch {
            return jobs.map { _ in .failure(.workerFull("\(error)")) }
        }
        // A value of an exact product takes as much as two others.
        let wordsPerValue = exact ? 2 : 1
        let (inputs, outputs) = (model.inputs(of: site), model.outputs(of: site))
        let kept = 2 * configuration.keyValueHeadCount * configuration.headSize
        // For each request, where its keys and values are to be kept.
        var slots: [(slot: WorkerSlot, layer: Int)?] = []
        var batch = RowBatch<Float>(jobs, channels: inputs) { job, rows throws(LinkError) in
            try check(answerRows: rows, channels: wordsPerValue * outputs)
            guard case .linear(let layer, _, let number?, _) = job.request.operation else {
                return slots.append(nil)
            }
            let key = SlotKey(connection: job.connection, number: number.number)
            let slot = memory[key] ?? WorkerSlot(model)
            let before = slot.unordered[layer]?.capacity ?? 0
            try memory.check(
                adding: 4 * (rows * kept - before), slots: memory[key] == nil ? 1 : 0)
            // Reserve the memory now, so that the next request of the batch sees it counted.
            slot.unordered[layer] = []
            slot.unordered[layer]?.reserveCapacity(rows * kept)
            memory.keep(slot, at: key)
            slots.append((slot, layer))
        }
        guard batch.rows > 0 else { return batch.answers }
        let exactResult = weights.map { model.exactProduct(batch.values.span, $0) }
        var result = exactResult?.map { Float($0) } ?? model.product(batch.values.span, site)
        if exact {
            var span = result.mutableSpan
            model.addBias(of: site, to: &span)
        }
        for (member, place) in zip(batch.members, slots) {
            guard let place else { continue }
            for row in member.rows {
                place.slot.unordered[place.layer]? += result[(row + 1) * outputs - kept..<(row + 1) * outputs]
            }
        }
        if let exactResult {
            for member in batch.members {
                let rows = exactResult[member.rows.lowerBound * outputs..<member.rows.upperBound * outputs]
                batch.answer(
                    member,
                    .float64(Float64Tensor(resultOf: member.request, channels: outputs, values: Array(rows))))
            }
        } else {
            batch.answer(result, channels: outputs)
        }
        return batch.answers
    }

    /// The weights of a site for exact products; the copy is made when it is first needed.
    private mutating func exactWeights(of site: DecoderSite) throws(KernelError) -> PackedMatrix {
        if let weights = exactWeights[site] { return weights }
        let weights = try model.exactWeights(of: site)
        exactWeights[site] = weights
        return weights
    }

    private mutating func feedForward(_ jobs: [Job], _ layer: Int) -> [Result<Answer, LinkError>] {
        let hidden = configuration.hiddenSize
        var batch = RowBatch<Float>(jobs, channels: hidden) { _, rows throws(LinkError) in
            try check(answerRows: rows, channels: hidden)
        }
        guard batch.rows > 0 else { return batch.answers }
        let result = model.feedForward(batch.values.span, block: layer, workspace: &workspace)
        batch.answer(result, channels: hidden)
        return batch.answers
    }

    private mutating func middle(_ jobs: [Job], _ blocks: Range<Int>) -> [Result<Answer, LinkError>] {
        var segments: [CacheSegment] = []
        var batch = RowBatch<Float>(jobs, channels: configuration.hiddenSize) { job, rows throws(LinkError) in
            guard case .middle(_, let own) = job.request.operation else { return }
            segments += try caches(own, rows: rows, of: job.connection, for: blocks)
        }
        guard batch.rows > 0 else { return batch.answers }
        var values = batch.values
        var span = values.mutableSpan
        do {
            try model.run(blocks: blocks, on: &span, segments: segments, workspace: &workspace)
        } catch {
            // Cut the slots back to where the requests began, so that the requests can be sent again once there is
            // memory.
            for segment in segments {
                for layer in segment.cache.layers[blocks] where layer.count > segment.position {
                    layer.truncate(to: segment.position)
                }
            }
            for member in batch.members { batch.fail(member, .workerFull("\(error)")) }
            return batch.answers
        }
        batch.answer(values, channels: configuration.hiddenSize)
        return batch.answers
    }

    /// Runs blocks of the encoder of pictures, of which nothing is kept.
    private mutating func tower(_ jobs: [Job], _ blocks: Range<Int>) -> [Result<Answer, LinkError>] {
        let hidden = configuration.owner(of: .queryKeyValue(block: blocks.lowerBound)).hiddenSize
        let longest = configuration.vision?.rows ?? 0
        var pictures: [Int] = []
        var bytes = 0
        var batch = RowBatch<Float>(jobs, channels: hidden) { job, rows throws(LinkError) in
            guard case .middle(_, let segments) = job.request.operation else { return }
            guard segments.allSatisfy({ $0.position == 0 && (1...longest).contains($0.rows) }),
                segments.reduce(0, { $0 + $1.rows }) == rows
            else { throw .invalidRequest("rows that are not of pictures of at most \(longest)") }
            try check(answerRows: rows, channels: hidden)
            // Keys and values of one block, while it is computed, for all pictures at once.
            try memory.check(adding: bytes + 8 * rows * hidden, slots: 0)
            bytes += 8 * rows * hidden
            pictures += segments.map(\.rows)
        }
        guard batch.rows > 0 else { return batch.answers }
        var values = batch.values
        var span = values.mutableSpan
        do {
            try model.run(towerBlocks: blocks, on: &span, pictures: pictures, workspace: &workspace)
        } catch {
            for member in batch.members { batch.fail(member, .workerFull("\(error)")) }
            return batch.answers
        }
        batch.answer(values, channels: hidden)
        return batch.answers
    }

    /// Cuts the caches of a request's segments at their positions, and makes room for their rows.
    private mutating func caches(
        _ segments: [Segment], rows: Int, of connection: UInt64, for blocks: Range<Int>
    ) throws(LinkError) -> [CacheSegment] {
        var left = rows
        for segment in segments {
            guard segment.rows > 0, segment.rows <= left else {
                throw .invalidRequest("a segment of \(segment.rows) rows, \(left) are left")
            }
            left -= segment.rows
        }
        guard left == 0 else { throw .invalidRequest("segments of \(rows - left) rows for \(rows) rows") }
        guard Set(segments.map(\.slot)).count == segments.count else {
            throw .invalidRequest("two segments of one slot")
        }

        var (bytes, fresh) = (0, 0)
        var places: [(slot: WorkerSlot, key: SlotKey, segment: Segment)] = []
        for segment in segments {
            let key = SlotKey(connection: connection, number: segment.slot.number)
            if memory[key] == nil { fresh += 1 }
            let slot = memory[key] ?? WorkerSlot(model)
            let layers = slot.cache.layers[blocks]
            let count = layers.reduce(Int.max) { min($0, $1.count) }
            guard (0...count).contains(segment.position),
                segment.position <= configuration.maximumLength - segment.rows,
                configuration.isCausal || segment.position == 0
            else {
                throw .invalidRequest(
                    "\(segment.rows) rows at position \(segment.position) of a slot with \(count) tokens")
            }
            for layer in layers {
                bytes += layer.byteCount(tokens: segment.position + segment.rows) - layer.byteCount
            }
            places.append((slot, key, segment))
        }
        try memory.check(adding: bytes, slots: fresh)

        for (slot, key, segment) in places {
            for layer in slot.cache.layers[blocks] {
                layer.truncate(to: segment.position)
                do { try layer.reserve(segment.position + segment.rows) } catch {
                    throw .workerFull("\(error)")
                }
            }
            memory.keep(slot, at: key)
        }
        return places.map {
            CacheSegment(
                cache: $0.slot.cache, position: $0.segment.position, rows: $0.segment.rows,
                isMutual: $0.segment.isMutual)
        }
    }

    private mutating func head(_ jobs: [Job]) -> [Result<Answer, LinkError>] {
        let (hidden, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
        var counts: [Int] = []
        var batch = RowBatch<Float>(jobs, channels: hidden) { job, rows throws(LinkError) in
            guard case .headTopK(let count) = job.request.operation, (1...vocabulary).contains(count) else {
                throw .invalidRequest("more than the \(vocabulary) logits that there are, or none")
            }
            // A token and its logit take twice the bytes of a logit.
            try check(answerRows: rows, channels: count == vocabulary ? count : 2 * count)
            counts.append(count)
        }
        var all = batch.members.map { _ in [Float]() }
        var largest = batch.members.map { _ in [[TokenLogit]]() }
        var member = 0
        // Computes some rows at a time, since all logits of a long prompt would take gigabytes.
        for first in stride(from: 0, to: batch.rows, by: 256) {
            let rows = first..<min(first + 256, batch.rows)
            let logits = model.logits(
                batch.values.span.extracting(rows.lowerBound * hidden..<rows.upperBound * hidden),
                workspace: &workspace)
            for row in rows {
                while row >= batch.members[member].rows.upperBound { member += 1 }
                let part = (row - first) * vocabulary..<(row - first + 1) * vocabulary
                if counts[member] == vocabulary {
                    all[member] += logits[part]
                } else {
                    largest[member].append(
                        topK(logits.span.extracting(part), counts[member]).map {
                            TokenLogit(token: Int32($0.index), logit: $0.value)
                        })
                }
            }
        }
        for (i, member) in batch.members.enumerated() {
            if counts[i] == vocabulary {
                batch.answer(
                    member,
                    .tensor(EncodedTensor(resultOf: member.request, channels: vocabulary, values: all[i])))
            } else if largest[i].allSatisfy({ $0.count == counts[i] }) {
                batch.answer(member, .topK(largest[i]))
            } else {
                batch.fail(member, .invalidRequest("hidden states whose logits are not numbers"))
            }
        }
        return batch.answers
    }
}

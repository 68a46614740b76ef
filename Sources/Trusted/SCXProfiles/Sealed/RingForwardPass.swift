package import SCXEncoding
package import SCXInference
package import SCXLink

/// The forward pass of profiles `sealed` and `fixed-point`.
///
/// The products of integers are requested site by site. Everything else is computed here, in float32, over the
/// trusted side's own KV cache:
///
///     h += W_o · attention(rope(W_qkv · x))      x = norm(h)
///     h += W_down · (silu(W_gate · x) · W_up · x)
///
/// A step takes `4 · blocks + 1` exchanges, whatever the number of sessions, and up to twice as many from
/// ``RingOptions/fewestRowsOfTwo`` rows on, which are computed as two micro-batches in turn. Each row's result depends on
/// that row and its session alone, so batches, chunks and speculation change no bit of it.
package final class RingForwardPass: ForwardPass {
    let model: RingModel
    let products: any SiteProducts
    let counts: SealedCounts
    package let sealedReport: SealedReport?
    let options: RingOptions
    private var caches: [Slot: KVCache] = [:]
    /// A random number stored with each session, so that a session that another forward pass stored is recognised.
    private let epoch = UInt64.random(in: 0...(.max))

    init(
        _ model: RingModel, products: any SiteProducts, options: RingOptions,
        counts: SealedCounts = SealedCounts(), report: SealedReport? = nil
    ) {
        self.model = model
        sealedReport = report
        self.products = products
        self.counts = counts
        self.options = options
    }

    package var traffic: Traffic { products.traffic }

    package var pictures: PictureModel? { model.pictures }

    package func runTower(_ rows: consuming Plaintext) throws(LinkError) -> [Float] {
        guard let tower = model.tower else { preconditionFailure("RingForwardPass: no encoder of pictures") }
        let encoder = tower.configuration
        // In float32, since a block's keys and values are kept only until its attention is computed.
        let cache = KVCache(
            layers: encoder.blockCount, kvHeads: encoder.keyValueHeadCount, headSize: encoder.headSize,
            wipes: true)
        let piece = RingPiece(
            segment: 0, cache: cache, position: 0, tokens: Array(repeating: 0, count: rows.rows)[...],
            output: .hiddenStates)
        let step = RingStep(self, tower, [piece], rows)
        try step.start()
        while !step.isFinished { try step.proceed() }
        return step.results.first?.values ?? []
    }

    package func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        let pieces = try pieces(of: segments)
        let steps = split(pieces).map { RingStep(self, $0) }
        for step in steps { try step.start() }
        while steps.contains(where: { !$0.isFinished }) {
            for step in steps where !step.isFinished { try step.proceed() }
        }
        var results: [[Float]] = segments.map { _ in [] }
        for piece in steps.flatMap(\.results) { results[piece.segment] += piece.values }
        // What is computed at once is not continued.
        if !splitsPrompts { for segment in segments { caches[segment.slot] = nil } }
        return results
    }

    package var splitsPrompts: Bool { model.configuration.isCausal }
    package var generates: Bool { model.configuration.hasHead }
    package var continuesSessions: Bool { model.configuration.isCausal }
    package var tokenKinds: Int { model.configuration.tokenTypeCount }

    /// Fills a session's cache with keys and values in place of those of real tokens, for measurements at long
    /// contexts.
    ///
    /// - Parameters:
    ///   - slot: The session's slot.
    ///   - tokens: How many tokens the cache gets.
    ///   - rows: For some tokens the keys and then the values, which are used again and again; see `KVCache.fill`.
    /// - Returns: Bytes of the cache.
    /// - Throws: `KVCacheError` when there is no memory.
    package func fill(_ slot: Slot, tokens: Int, rows: [Float]) throws(KVCacheError) -> Int {
        let cache = makeCache()
        try cache.fill(tokens, rows: rows)
        caches[slot] = cache
        return cache.byteCount
    }

    package func end(_ slot: Slot) throws(LinkError) { caches[slot] = nil }

    // MARK: Sessions out of memory

    /// Moves a session's keys and values out of memory.
    ///
    /// The bytes are `epoch | count | pages of the layers, one after the other`.
    package func store(_ slot: Slot, after header: Int) throws(LinkError) -> SecretBuffer<UInt8>? {
        guard let cache = caches[slot], cache.count > 0 else { return nil }
        cache.truncate(to: cache.count)
        let size = cache.layers.reduce(0) { $0 + $1.storedBytes }
        var bytes = SecretBuffer<UInt8>(repeating: 0, count: header + Self.storedHeader + size)
        let numbers = [epoch, UInt64(cache.count)]
        bytes.store(numbers.span, at: header)
        var offset = header + Self.storedHeader
        for layer in cache.layers {
            var span = bytes.mutableSpan
            layer.store(into: &span, at: offset)
            offset += layer.storedBytes
        }
        caches[slot] = nil
        return bytes
    }

    package func restore(_ slot: Slot, _ bytes: borrowing SecretBuffer<UInt8>, from header: Int) -> Bool {
        guard bytes.count >= header + Self.storedHeader else { return false }
        var numbers: [UInt64] = [0, 0]
        var span = numbers.mutableSpan
        bytes.load(&span, from: header)
        guard numbers[0] == epoch, let count = Int(exactly: numbers[1]),
            (1...model.configuration.maximumLength).contains(count)
        else { return false }
        let cache = makeCache()
        var offset = header + Self.storedHeader
        for layer in cache.layers {
            guard (try? layer.load(count, from: bytes.span, at: offset)) == true else { return false }
            offset += layer.storedBytes
        }
        guard offset == bytes.count else { return false }
        caches[slot] = cache
        return true
    }

    /// Bytes of the numbers `epoch` and `count` at the beginning of a stored session.
    private static var storedHeader: Int { 2 * MemoryLayout<UInt64>.stride }

    /// The keys and values of a session, if there are any.
    package func cache(of slot: Slot) -> KVCache? { caches[slot] }

    /// Finds the cache of each segment's session, and cuts it at the position where the segment begins.
    private func pieces(of segments: [BatchSegment]) throws(LinkError) -> [RingPiece] {
        var pieces: [RingPiece] = []
        for (index, segment) in segments.enumerated() {
            let cache = caches[segment.slot] ?? makeCache()
            guard cache.count >= segment.position else {
                throw .disconnected("the session's keys and values are not here")
            }
            // After a step that failed, some layers may have more tokens than others.
            cache.truncate(to: segment.position)
            caches[segment.slot] = cache
            do { try cache.reserve(segment.position + segment.tokens.count) } catch {
                throw .workerFull("\(error)")
            }
            pieces.append(
                RingPiece(
                    segment: index, cache: cache, position: segment.position, tokens: segment.tokens[...],
                    kinds: segment.kinds, inserted: segment.inserted, isMutual: segment.isMutual,
                    output: segment.output))
        }
        return pieces
    }

    private func makeCache() -> KVCache {
        let configuration = model.configuration
        return KVCache(
            layers: configuration.blockCount, kvHeads: configuration.keyValueHeadCount,
            headSize: configuration.headSize, format: options.cacheFormat, wipes: true)
    }

    /// Divides the rows of a step into two halves that are computed in turn, if there are enough rows.
    ///
    /// If a session is divided, its earlier tokens are in the first half, which is computed before the second at
    /// every site. If row counts are rounded up, a step is never divided: the number of exchanges would tell what the
    /// rounding hides.
    private func split(_ pieces: [RingPiece]) -> [[RingPiece]] {
        let rows = pieces.reduce(0) { $0 + $1.tokens.count }
        guard products.showsRowCounts, rows >= options.fewestRowsOfTwo, rows > 1 else { return [pieces] }
        var halves: [[RingPiece]] = [[], []]
        var left = rows / 2
        guard splitsPrompts else {
            // Sequences whose tokens attend to each other stay whole.
            for piece in pieces {
                halves[left > 0 ? 0 : 1].append(piece)
                left -= piece.tokens.count
            }
            return halves.filter { !$0.isEmpty }
        }
        for piece in pieces {
            if piece.isMutual {
                halves[left > 0 ? 0 : 1].append(piece)
                left -= piece.tokens.count
                continue
            }
            let first = min(max(0, left), piece.tokens.count)
            left -= first
            if first > 0 { halves[0].append(piece.prefix(first)) }
            if first < piece.tokens.count { halves[1].append(piece.dropping(first)) }
        }
        return halves.filter { !$0.isEmpty }
    }
}

/// Settings of profiles `sealed` and `fixed-point`.
package struct RingOptions: Equatable, Sendable {
    /// The format of the trusted side's KV cache.
    package var cacheFormat = LayerCache.Format.f32
    /// From this many rows on, a step is computed as two micro-batches in turn.
    ///
    /// The worker multiplies one while the trusted side works on the other. With fewer rows the worker would read its
    /// weights twice for the same work.
    package var fewestRowsOfTwo = 128
    /// How many of a block's experts a request reaches at least, those that are wanted among them; nil for all.
    ///
    /// With fewer than all the worker sees that no token of the step takes the others.
    package var expertCover: Int?

    package init() {}
}

/// Consecutive tokens of one session in a step.
struct RingPiece {
    /// The number of the step's segment to which the tokens belong.
    let segment: Int
    let cache: KVCache
    let position: Int
    let tokens: ArraySlice<Int32>
    /// The kinds of the tokens of a whole sequence; empty where all are of kind 0.
    var kinds: [Int32] = []
    /// Rows of pictures in the place of some tokens' rows.
    var inserted: InsertedRows?
    /// Whether the tokens attend to each other in both directions, so that they stay together.
    var isMutual = false
    let output: SegmentOutput

    func prefix(_ count: Int) -> RingPiece {
        let isWhole = count == tokens.count
        return RingPiece(
            segment: segment, cache: cache, position: position, tokens: tokens.prefix(count),
            inserted: inserted?.part(0..<count), output: output == .lastLogits && !isWhole ? .nothing : output
        )
    }

    func dropping(_ count: Int) -> RingPiece {
        RingPiece(
            segment: segment, cache: cache, position: position + count, tokens: tokens.dropFirst(count),
            inserted: inserted?.part(count..<tokens.count), output: output)
    }

    /// The range of the rows whose logits are wanted, counted from the piece's first row.
    var logitRows: Range<Int> {
        switch output {
        case .nothing, .hiddenStates: 0..<0
        case .lastLogits: tokens.count - 1..<tokens.count
        case .allLogits: 0..<tokens.count
        }
    }
}

import SCXEncoding
import SCXInference
import SCXLink

/// The rows of one step on their way through the blocks: what the trusted side computes between two products, divided
/// so that another step can be computed while a product is awaited.
final class RingStep {
    /// The result that a segment asked for.
    struct Result {
        let segment: Int
        var values: [Float]
    }

    let model: RingModel
    let products: any SiteProducts
    let options: RingOptions
    private let counts: SealedCounts
    private let pieces: [RingPiece]
    private let segments: [CacheSegment]
    private let table: RotaryTable
    let rows: Int
    /// Threads for the trusted side's arithmetic; nil for few rows, since waking other threads would take longer than
    /// it saves.
    private let pool: ThreadPool?
    /// The residual stream, `[rows, hidden]`.
    private var hidden: Plaintext
    /// The exchange that was begun.
    private var sent: Exchange?
    private(set) var results: [Result] = []
    private(set) var isFinished = false

    /// An exchange that was begun: one product, or those of all experts of a block.
    enum Exchange {
        case site(DecoderSite, any SentProduct)
        /// A product between latent attention's first one and its attention.
        case latent(LatentExchange)
        case experts(ExpertExchange)
    }

    var configuration: DecoderConfiguration { model.configuration }

    /// Makes a step of the model's decoder.
    convenience init(_ pass: RingForwardPass, _ pieces: [RingPiece]) {
        var hidden = pass.model.embedding.rows(of: pieces.map { ($0.tokens, $0.position, $0.kinds) })
        var first = 0
        for piece in pieces {
            piece.inserted?.insert(into: &hidden, from: first)
            first += piece.tokens.count
        }
        self.init(pass, pass.model, pieces, hidden)
    }

    /// Makes a step.
    ///
    /// - Parameters:
    ///   - pass: The forward pass, whose products are asked for.
    ///   - model: Its model, or that of its encoder of pictures.
    ///   - pieces: Which rows belong to which session.
    ///   - hidden: The rows before the first block.
    init(
        _ pass: RingForwardPass, _ model: RingModel, _ pieces: [RingPiece], _ hidden: consuming Plaintext
    ) {
        self.model = model
        products = pass.products
        counts = pass.counts
        options = pass.options
        self.pieces = pieces
        rows = pieces.reduce(0) { $0 + $1.tokens.count }
        segments = pieces.map {
            CacheSegment(
                cache: $0.cache, position: $0.position, rows: $0.tokens.count, isMutual: $0.isMutual)
        }
        pool = model.layers.pool
        var table = model.layers.rotaryTable(positions: 0..<0)
        for piece in pieces { table.append(positions: piece.position..<piece.position + piece.tokens.count) }
        self.table = table
        self.hidden = hidden
    }

    /// Begins the first product.
    func start() throws(LinkError) { try sendQueryKeyValue(0) }

    /// Waits for the product that was begun, computes the trusted side's part that follows it, and begins the next
    /// product.
    func proceed() throws(LinkError) {
        guard let exchange = sent.take() else { preconditionFailure("RingStep: nothing was begun") }
        guard case .site(let site, let product) = exchange else {
            switch exchange {
            case .experts(let experts): try proceed(experts)
            case .latent(let latent): try proceed(latent)
            case .site: break
            }
            return
        }
        let result = sum(try product.receive())
        switch site {
        case .queryKeyValue(let block) where configuration.latent != nil:
            sent = .latent(try sendQueries(block, result))
        case .queryKeyValue(let block): try attend(block, result)
        case .valueUp(let block): try send(result, .output(block: block))
        case .output(let block): try sendGateUp(block, adding: result)
        case .gateUp(let block): try sendDown(block, result)
        case .down(let block): try finish(block, result)
        case .head: finish(result)
        case .queryUp, .queryLatent: preconditionFailure("RingStep: queries are asked with their latents")
        case .expertGateUp, .expertDown: preconditionFailure("RingStep: experts are asked together")
        }
    }

    /// Adds what a block's feed-forward network computed, and begins the next block or the head.
    func finish(_ block: Int, _ update: consuming Plaintext) throws(LinkError) {
        add(update, of: .feedForward, block)
        if block + 1 < configuration.blockCount {
            try sendQueryKeyValue(block + 1)
        } else {
            try sendHead()
        }
    }

    /// The product by a site's weights, which is the sum of two where the model has two matrices for each site.
    private func sum(_ product: consuming Plaintext) -> Plaintext {
        guard configuration.ringPlanes > 1 else { return product }
        var sum = Plaintext(rows: product.rows, channels: product.channels / 2)
        let outputs = sum.channels
        let wide = product.span
        for t in 0..<product.rows {
            sum.withRow(t) { row in
                for j in 0..<outputs {
                    row[j] = wide[2 * t * outputs + j] + wide[(2 * t + 1) * outputs + j]
                }
            }
        }
        return sum
    }

    /// Adds what a part of a block computed to the residual stream.
    private func add(_ update: consuming Plaintext, of part: BlockPart, _ block: Int) {
        var update = update
        var values = update.values
        model.layers.normResult(&values, of: part, block: block)
        hidden.add(update, times: configuration.residualScale)
        let layers = model.layers
        hidden.update { layers.normSum(&$0, of: part, block: block) }
    }

    private func sendGateUp(_ block: Int, adding update: consuming Plaintext) throws(LinkError) {
        add(update, of: .attention, block)
        var normed = Plaintext(rows: rows, channels: configuration.hiddenSize)
        var out = normed.values
        model.layers.feedForwardNorm(hidden.span, block: block, into: &out)
        if configuration.hasExperts(block) {
            sent = .experts(try sendExperts(block, normed))
        } else {
            try send(normed, .gateUp(block: block))
        }
    }

    private func proceed(_ exchange: LatentExchange) throws(LinkError) {
        guard exchange.isReduced else { return try attend(exchange.block, try attentionRows(exchange)) }
        try sendLatentQueries(exchange)
        sent = .latent(exchange)
    }

    private func proceed(_ exchange: ExpertExchange) throws(LinkError) {
        if exchange.isGateUp {
            sent = .experts(try sendDown(exchange))
        } else {
            try finish(exchange.block, try combine(exchange))
        }
    }

    private func sendDown(_ block: Int, _ gateUp: borrowing Plaintext) throws(LinkError) {
        var activated = Plaintext(rows: rows, channels: configuration.feedForwardSize)
        var out = activated.values
        model.layers.activate(gateUp.span, into: &out)
        try send(activated, .down(block: block))
    }

    private func send(_ values: consuming Plaintext, _ site: DecoderSite) throws(LinkError) {
        sent = .site(site, try products.send(values, model[site], groups: nil))
    }

    private func sendQueryKeyValue(_ block: Int) throws(LinkError) {
        var normed = Plaintext(rows: rows, channels: configuration.hiddenSize)
        var out = normed.values
        model.layers.attentionNorm(hidden.span, block: block, into: &out)
        try send(normed, .queryKeyValue(block: block))
    }

    private func attend(_ block: Int, _ projected: consuming Plaintext) throws(LinkError) {
        var projected = projected
        var attended = Plaintext(
            rows: rows, channels: configuration.headCount * configuration.headSize)
        let start = ContinuousClock.now
        do throws(KVCacheError) {
            var values = projected.values
            var out = attended.values
            try model.layers.attend(
                &values, block: block, segments: segments, table: table, into: &out, pool: pool)
        } catch {
            throw .workerFull("\(error)")
        }
        // What is computed at once needs a block's keys and values no more; those of a picture's rows are many.
        if !configuration.isCausal {
            for segment in segments { segment.cache.layers[block].truncate(to: 0) }
        }
        counts.add(.attention, since: start)
        guard configuration.latent != nil else { return try send(attended, .output(block: block)) }
        sent = .site(.valueUp(block: block), try sendLatents(block, attended))
    }

    /// Begins the head's product for the rows whose logits are wanted; if there are none, the step is finished.
    private func sendHead() throws(LinkError) {
        var wanted: [Int] = []
        var first = 0
        for piece in pieces {
            wanted += piece.logitRows.map { first + $0 }
            if piece.output == .hiddenStates {
                let channels = configuration.hiddenSize
                let part = hidden.span.extracting(
                    first * channels..<(first + piece.tokens.count) * channels)
                results.append(Result(segment: piece.segment, values: model.embedding.normed(part)))
            }
            first += piece.tokens.count
        }
        guard !wanted.isEmpty else {
            isFinished = true
            return
        }
        let selected = hidden.selecting(wanted)
        var normed = Plaintext(rows: wanted.count, channels: configuration.hiddenSize)
        var out = normed.values
        model.layers.finalNorm(selected.span, into: &out)
        try send(normed, .head)
    }

    private func finish(_ product: consuming Plaintext) {
        var logits = product
        var values = logits.values
        model.layers.finishLogits(&values)
        let vocabulary = configuration.vocabularySize
        let span = logits.span
        var row = 0
        for piece in pieces where !piece.logitRows.isEmpty {
            let part = span.extracting(row * vocabulary..<(row + piece.logitRows.count) * vocabulary)
            results.append(
                Result(
                    segment: piece.segment, values: unsafe part.withUnsafeBufferPointer { unsafe Array($0) }))
            row += piece.logitRows.count
        }
        isFinished = true
    }
}

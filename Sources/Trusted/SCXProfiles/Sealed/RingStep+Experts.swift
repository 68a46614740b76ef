import SCXEncoding
import SCXInference
import SCXLink

/// One of the two exchanges of a block with experts: all requests of the experts' rows, and that of the expert that every
/// token takes.
struct ExpertExchange {
    let block: Int
    /// Whether it is the first exchange, gate and up; the second one is down.
    let isGateUp: Bool
    let slots: ExpertSlots
    /// The slots of each request, with its product.
    let experts: [(slots: Range<Int>, product: any SentProduct)]
    let shared: (any SentProduct)?
}

/// Blocks with experts.
///
/// The router's choice stays here. A request has the same number of slots for every expert, so it tells the worker how
/// many slots there are, and nothing of which token takes which expert: the rows cannot be told apart, since each has a
/// pad of its own.
extension RingStep {
    /// The most bytes of a request's rows, or of its answer.
    private static let requestBytes = 64 << 20

    /// Chooses each row's experts, and begins the product by gate and up.
    func sendExperts(_ block: Int, _ normed: consuming Plaintext) throws(LinkError) -> ExpertExchange {
        let routes = model.layers.routes(normed.span, block: block)
        var random = SecureRandom(bufferBytes: 1 << 10)
        let slots = ExpertSlots(
            routes, shownRows: products.shownRows(rows), cover: options.expertCover, random: &random)
        var experts: [(slots: Range<Int>, product: any SentProduct)] = []
        for part in parts(of: slots, block) {
            experts.append(
                (part, try send(slots.gathering(normed, slots: part), .expertGateUp(block: block), slots)))
        }
        let hasShared = configuration.feedForwardSize(of: block) != nil
        return ExpertExchange(
            block: block, isGateUp: true, slots: slots, experts: experts,
            shared: try hasShared ? products.send(normed, model[.gateUp(block: block)], groups: nil) : nil)
    }

    /// Waits for the product by gate and up, applies the activation, and begins the product by down.
    func sendDown(_ exchange: ExpertExchange) throws(LinkError) -> ExpertExchange {
        let block = exchange.block
        var experts: [(slots: Range<Int>, product: any SentProduct)] = []
        for (part, product) in exchange.experts {
            // An expert's channels are adjacent, so each is a row of the activation.
            let activated = activated(
                try product.receive(), features: configuration.experts?.feedForwardSize ?? 1)
            experts.append((part, try send(activated, .expertDown(block: block), exchange.slots)))
        }
        var shared: (any SentProduct)?
        if let product = exchange.shared, let size = configuration.feedForwardSize(of: block) {
            let activated = activated(try product.receive(), features: size)
            shared = try products.send(activated, model[.down(block: block)], groups: nil)
        }
        return ExpertExchange(
            block: block, isGateUp: false, slots: exchange.slots, experts: experts, shared: shared)
    }

    /// Waits for the product by down, and adds each row's results.
    func combine(_ exchange: ExpertExchange) throws(LinkError) -> Plaintext {
        let (slots, hidden) = (exchange.slots, configuration.hiddenSize)
        var results = Plaintext(rows: rows * slots.routes.perRow, channels: hidden)
        for (part, product) in exchange.experts {
            slots.scatter(try product.receive(), slots: part, into: &results)
        }
        var sum = try exchange.shared?.receive() ?? Plaintext(rows: rows, channels: hidden)
        var values = sum.values
        slots.routes.scaleShared(&values, hasShared: exchange.shared != nil, width: hidden)
        slots.add(results, to: &sum)
        return sum
    }

    private func activated(_ gateUp: consuming Plaintext, features: Int) -> Plaintext {
        var activated = Plaintext(
            rows: gateUp.rows, channels: configuration.isGated ? gateUp.channels / 2 : gateUp.channels)
        var out = activated.values
        model.layers.activate(gateUp.span, into: &out, features: features)
        return activated
    }

    private func send(
        _ rows: consuming Plaintext, _ site: DecoderSite, _ slots: ExpertSlots
    ) throws(LinkError) -> any SentProduct {
        try products.send(
            rows, model[site], groups: slots.reached.count == slots.routes.experts ? nil : slots.reached)
    }

    /// Divides the slots among requests that are not too large for a worker; the sizes depend on the model and the number
    /// of slots alone.
    private func parts(of slots: ExpertSlots, _ block: Int) -> [Range<Int>] {
        let sites = [model[.expertGateUp(block: block)], model[.expertDown(block: block)]]
        let widest = sites.flatMap { [$0.groupInputs, $0.groupOutputs] }.max() ?? 1
        // A pad has all experts, also those that a request leaves out.
        let size = max(1, Self.requestBytes / (4 * widest * slots.routes.experts))
        return stride(from: 0, to: slots.capacity, by: size).map { $0..<min(slots.capacity, $0 + size) }
    }
}

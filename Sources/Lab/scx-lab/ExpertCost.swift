import SCXEncoding
import SCXInference
import SCXLink
import SCXProfiles

/// Times the two products of one block's experts as profile `sealed` computes them, with and without hiding the routing.
struct ExpertCost {
    /// What the two products of some rows took.
    struct Times {
        var worker = 0.0
        var trusted = 0.0
        /// Bytes of the requests' rows, and of the answers.
        var sent = 0
        var received = 0
        var slots = 0
        var all: Double { worker + trusted }
    }

    private let model: Decoder
    private let block: Int
    private let experts: DecoderConfiguration.Experts
    private let pool: ThreadPool
    /// The sites of all experts together, and those of each.
    private let together: [RingSite]
    private let alone: [(gateUp: RingSite, down: RingSite)]
    private let matrices: [DecoderSite: [PackedMatrix]]

    init(_ checkpoint: Checkpoint, pool: ThreadPool) throws {
        self.pool = pool
        guard let experts = checkpoint.configuration.experts,
            let block = experts.blocks.firstIndex(of: true)
        else { preconditionFailure("ExpertCost: no experts") }
        (self.experts, self.block) = (experts, block)
        model = try Decoder(
            checkpoint, format: .int8, pool: pool, parts: DecoderParts(feedForward: [block]))
        var random = SecureRandom()
        var matrices: [DecoderSite: [PackedMatrix]] = [:]
        func site(_ name: DecoderSite, _ weights: [PackedMatrix], _ random: inout SecureRandom) -> RingSite {
            matrices[name] = weights
            return RingSite(name, weights: weights, bias: [], random: &random, pool: pool)
        }
        let (gateUp, down) = (
            model.packedWeights(of: .expertGateUp(block: block)),
            model.packedWeights(of: .expertDown(block: block))
        )
        together = [
            site(.expertGateUp(block: block), gateUp, &random),
            site(.expertDown(block: block), down, &random),
        ]
        // Sites of one expert go by the number of a block, which is only a name here.
        var alone: [(gateUp: RingSite, down: RingSite)] = []
        for expert in 0..<experts.count {
            alone.append(
                (
                    site(.gateUp(block: expert), [gateUp[expert]], &random),
                    site(.down(block: expert), [down[expert]], &random)
                ))
        }
        self.alone = alone
        self.matrices = matrices
    }

    /// Rows as after a norm.
    private func rows(_ count: Int) -> Plaintext {
        var random = LabRandom(seed: UInt64(count))
        var rows = Plaintext(rows: count, channels: model.configuration.hiddenSize)
        var values = rows.values
        for i in values.indices { values[i] = random.normal() }
        return rows
    }

    /// Every expert with the same number of slots.
    func hiding(_ count: Int) throws -> Times {
        let rows = rows(count)
        let routes = model.routes(rows.span, block: block)
        var random = SecureRandom()
        var times = Times()
        let start = ContinuousClock.now
        let slots = ExpertSlots(routes, shownRows: count, cover: nil, random: &random)
        let wide = slots.gathering(rows, slots: 0..<slots.capacity)
        times.trusted += (ContinuousClock.now - start) / .seconds(1)
        let bank = try bank(together, rows: slots.capacity)
        let projected = try product(wide, together[0], bank, &times)
        let result = try product(activated(projected, &times), together[1], bank, &times)
        let end = ContinuousClock.now
        var results = Plaintext(rows: count * experts.perToken, channels: rows.channels)
        slots.scatter(result, slots: 0..<slots.capacity, into: &results)
        var sum = Plaintext(rows: count, channels: rows.channels)
        slots.add(results, to: &sum)
        times.trusted += (ContinuousClock.now - end) / .seconds(1)
        times.slots = slots.capacity
        return times
    }

    /// Each expert that is taken with its rows, in a request of its own.
    func choosing(_ count: Int) throws -> Times {
        let rows = rows(count)
        let routes = model.routes(rows.span, block: block)
        let places = routes.placesByExpert
        let taken = places.indices.filter { !places[$0].isEmpty }
        let most = taken.map { places[$0].count }.max() ?? 1
        let bank = try bank(taken.flatMap { [alone[$0].gateUp, alone[$0].down] }, rows: most)
        var times = Times()
        var sum = Plaintext(rows: count, channels: rows.channels)
        for expert in taken {
            let start = ContinuousClock.now
            let own = rows.selecting(places[expert].map { $0 / routes.perRow })
            times.trusted += (ContinuousClock.now - start) / .seconds(1)
            let projected = try product(own, alone[expert].gateUp, bank, &times)
            let result = try product(activated(projected, &times), alone[expert].down, bank, &times)
            let end = ContinuousClock.now
            let source = result.span
            let width = rows.channels
            var values = sum.values
            for (i, place) in places[expert].enumerated() {
                let (to, weight) = (place / routes.perRow * width, routes.weights[place])
                for c in 0..<width { values[to + c] += weight * source[i * width + c] }
            }
            times.trusted += (ContinuousClock.now - end) / .seconds(1)
        }
        return times
    }

    private func activated(_ gateUp: consuming Plaintext, _ times: inout Times) -> Plaintext {
        let start = ContinuousClock.now
        var activated = Plaintext(rows: gateUp.rows, channels: gateUp.channels / 2)
        var out = activated.values
        model.activate(gateUp.span, into: &out, features: experts.feedForwardSize)
        times.trusted += (ContinuousClock.now - start) / .seconds(1)
        return activated
    }

    /// A bank with pads for so many rows of each site.
    private func bank(_ sites: [RingSite], rows: Int) throws -> PadBank {
        var limits = PadBank.Limits()
        (limits.rows, limits.batchRows, limits.bytes) = (rows, rows, 1 << 40)
        let bank = PadBank(sites: sites, sources: [MatrixPads(matrices, pool: pool)], limits: limits)
        while try bank.prepareNext() {}
        return bank
    }

    /// One product: rounded, padded, multiplied, opened and verified.
    private func product(
        _ values: consuming Plaintext, _ site: RingSite, _ bank: PadBank, _ times: inout Times
    ) throws -> Plaintext {
        let start = ContinuousClock.now
        let rows = FixedPointRows(values, for: site, pool: pool)
        let padded = try bank.take(rows.rows, for: site).encode(rows, pool: pool)
        let tensor = padded.tensor
        let sent = ContinuousClock.now
        var answer = [UInt32](repeating: 0, count: tensor.rows * site.outputs)
        var out = answer.mutableSpan
        ringLinear(tensor.values.span, matrices[site.site] ?? [], into: &out, tokens: tensor.rows, pool: pool)
        let answered = ContinuousClock.now
        let opened = padded.open(
            RingTensor(joinedRows: tensor.rows, channels: site.outputs, values: answer), rows,
            expected: rows.expectedSketches(site, pool: pool), pool: pool)
        let end = ContinuousClock.now
        times.worker += (answered - sent) / .seconds(1)
        times.trusted += ((sent - start) + (end - answered)) / .seconds(1)
        times.sent += tensor.byteCount
        times.received += 4 * tensor.rows * site.outputs
        switch consume opened {
        case .verified(let result): return result
        case .wrong: throw LinkError.unexpectedAnswer("a wrong product")
        }
    }

    /// Multiplies pads by the matrices of a site.
    private struct MatrixPads: PadSource {
        let matrices: [DecoderSite: [PackedMatrix]]
        let pool: ThreadPool
        var kind: PadSourceKind { .direct }
        var name: String { "direct" }

        init(_ matrices: [DecoderSite: [PackedMatrix]], pool: ThreadPool) {
            (self.matrices, self.pool) = (matrices, pool)
        }

        func products(_ site: RingSite, seed: PadSeed, rows: Int) throws(LinkError) -> SecretBuffer<UInt32> {
            var pads = [UInt32](repeating: 0, count: rows * site.inputs)
            var words = pads.mutableSpan
            seed.expand(rows: 0..<UInt64(rows), inputs: site.inputs, into: &words)
            var products = SecretBuffer<UInt32>(repeating: 0, count: rows * site.outputs)
            var out = products.mutableSpan
            ringLinear(pads.span, matrices[site.site] ?? [], into: &out, tokens: rows, pool: pool)
            return products
        }
    }
}

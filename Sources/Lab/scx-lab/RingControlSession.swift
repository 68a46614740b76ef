package import SCXAttacks
import SCXEncoding
import SCXInference
import SCXLink
package import SCXProfiles
package import SCXWorker

/// What the sessions of ``RingControlSession`` share: sites, a worker, and pads that exist longer than a session.
package final class RingControl {
    fileprivate let model: PublicModel
    fileprivate let sites: RingModel
    fileprivate let worker: Worker
    fileprivate let pads: RingPads
    /// Drawn once for all sessions: masks or pads of each site.
    private var shared: [DecoderSite: [[UInt32]]] = [:]
    private var random = LabRandom(seed: 77)
    /// The pads of the session before, by site, for sessions that use them again.
    fileprivate var used: [DecoderSite: [[UInt32]]] = [:]

    /// Makes what sessions share.
    ///
    /// - Precondition: The model holds int8 weights.
    package init(_ model: PublicModel, sites: RingModel, pads: RingPads) {
        precondition(model.decoder.isRing, "RingControl: weights that are not int8")
        (self.model, self.sites, self.pads) = (model, sites, pads)
        worker = Worker(model: model.decoder)
    }

    fileprivate func shared(_ site: DecoderSite, count: Int, inputs: Int) -> [[UInt32]] {
        if let ready = shared[site] { return ready }
        let drawn = (0..<count).map { _ in random.words(inputs) }
        shared[site] = drawn
        return drawn
    }
}

/// Runs a session of profile `sealed` whose pads are drawn in a weaker way, and records what the worker saw.
///
/// It computes everything in clear as well, so it need not subtract any pad.
package final class RingControlSession {
    private let control: RingControl
    private let recorder: Recorder
    private let connection: UInt64
    private var random: LabRandom
    private let cache: KVCache
    private var number: UInt64 = 0
    private var position = 0
    /// The pads of the session before that were not used again yet.
    private var left: [DecoderSite: [[UInt32]]]

    package init(_ control: RingControl, recorder: Recorder, connection: UInt64 = 1, seed: UInt64) {
        self.control = control
        self.recorder = recorder
        self.connection = connection
        random = LabRandom(seed: seed)
        cache = control.model.decoder.makeCache()
        left = control.used
        control.used = [:]
    }

    /// Computes tokens: a prompt, or one generated token.
    package func carry(_ tokens: [Int32]) throws {
        let (model, c) = (control.model, control.model.configuration)
        let decoder = model.decoder
        var hidden = model.embedding.selecting(tokens.map { Int($0) })
        func filled(_ columns: Int, _ body: (inout MutableSpan<Float>) -> Void) -> Matrix {
            var values = [Float](repeating: 0, count: tokens.count * columns)
            var span = values.mutableSpan
            body(&span)
            return Matrix(columns: columns, values: values)
        }
        for block in 0..<c.blockCount {
            let normed = model.normed(hidden, block: block)
            try send(normed, .queryKeyValue(block: block))
            var rows = Matrix(
                columns: model.queryWidth + 2 * model.keyWidth,
                values: decoder.product(normed.values.span, .queryKeyValue(block: block)))
            model.rotate(
                &rows, block: block, positions: position..<position + tokens.count, queryHeads: c.headCount)
            let request =
                rows.columns(0..<model.queryWidth).values
                + rows.columns(model.queryWidth..<rows.columns).values
            let attended = Matrix(
                columns: model.queryWidth,
                values: try decoder.attend(
                    request.span, queries: tokens.count, keys: tokens.count, block: block,
                    cache: cache.layers[block]))
            try send(attended, .output(block: block))
            hidden = hidden.adding(decoder.product(attended.values.span, .output(block: block)))
            let input = filled(c.hiddenSize) {
                decoder.feedForwardNorm(hidden.values.span, block: block, into: &$0)
            }
            try send(input, .gateUp(block: block))
            let gateUp = decoder.product(input.values.span, .gateUp(block: block))
            let activated = filled(c.feedForwardSize) { decoder.activate(gateUp.span, into: &$0) }
            try send(activated, .down(block: block))
            hidden = hidden.adding(decoder.product(activated.values.span, .down(block: block)))
        }
        let last = hidden.selecting([hidden.rows - 1])
        var normed = [Float](repeating: 0, count: c.hiddenSize)
        var span = normed.mutableSpan
        decoder.finalNorm(last.values.span, into: &span)
        try send(Matrix(columns: c.hiddenSize, values: normed), .head)
        position += tokens.count
    }

    /// Rounds rows as profile `sealed` does, adds pads, and records the exchange.
    private func send(_ rows: Matrix, _ name: DecoderSite) throws {
        let site = control.sites[name]
        var plain = Plaintext(rows: rows.rows, channels: rows.columns)
        var values = plain.values
        for (i, value) in rows.values.enumerated() { values[i] = value }
        let integers = FixedPointRows(plain, for: site, pool: nil)
        var words: [UInt32] = []
        words.reserveCapacity(rows.values.count)
        for pad in pads(rows.rows, name, site.inputs) { words += pad }
        let span = integers.span
        for i in words.indices { words[i] &+= UInt32(bitPattern: span[i]) }
        let (layer, product) = name.named
        let request = Request(
            .linearRing(layer: layer, site: product),
            RingTensor(paddedRows: rows.rows, channels: rows.columns, values: words))
        number += 1
        recorder.record(request.message(number: number), direction: .received, connection: connection)
        let answer = try control.worker.answer(request)
        recorder.record(
            answer.message(to: request.kind, number: number), direction: .sent, connection: connection)
    }

    private func pads(_ count: Int, _ site: DecoderSite, _ inputs: Int) -> [[UInt32]] {
        switch control.pads {
        case .fresh: return (0..<count).map { _ in random.words(inputs) }
        case .onePerRequest: return [[UInt32]](repeating: random.words(inputs), count: count)
        case .pool(let size):
            let pool = control.shared(site, count: size, inputs: inputs)
            return (0..<count).map { _ in pool[Int(random.next() % UInt64(size))] }
        case .span(let rank):
            let masks = control.shared(site, count: rank, inputs: inputs)
            return (0..<count).map { _ in
                var sum = [UInt32](repeating: 0, count: inputs)
                for mask in masks {
                    let factor = UInt32(truncatingIfNeeded: random.next())
                    for i in sum.indices { sum[i] &+= factor &* mask[i] }
                }
                return sum
            }
        case .twice:
            let again = Array((left[site] ?? []).prefix(count))
            left[site]?.removeFirst(again.count)
            let all = again + (again.count..<count).map { _ in random.words(inputs) }
            control.used[site, default: []] += all
            return all
        }
    }
}

extension LabRandom {
    /// Draws uniform 32-bit numbers.
    package mutating func words(_ count: Int) -> [UInt32] {
        (0..<count).map { _ in UInt32(truncatingIfNeeded: next() >> 16) }
    }
}

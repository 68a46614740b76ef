import Foundation
package import SCXAttacks
import SCXEncoding
import SCXInference
import SCXLink
package import SCXWorker

func naturalLogarithm(_ x: Float) -> Float { Float(log(Double(x))) }

/// Runs one session with a control encoding against a real worker, and records what the worker saw.
///
/// It makes the exchanges of profile `scx`. In a prompt these are the products and the attention of each block, then
/// the order of the rows of the middle blocks. For a token they are those of the first block, the middle blocks in
/// clear, and the scores of the last block. It knows all plain values, so it need not undo any encoding.
package final class ControlSession {
    private let model: PublicModel
    private let worker: Worker
    private let recorder: Recorder
    private let encoding: ControlEncoding
    private let connection: UInt64
    private let slot = Slot(number: 7)
    private var random: LabRandom
    private let cache: KVCache
    private var workspace = Workspace()
    private var number: UInt64 = 0
    private var position = 0
    /// Keys and values of the first block, `[tokens, k | v]`.
    private var firstBlock: [Float] = []
    /// The masks that all exchanges share, if the encoding has such masks.
    private let masks: Matrix
    private let fixedOrder: [Int]
    private var pads: [[UInt32]] = []

    package init(
        _ model: PublicModel, encoding: ControlEncoding, recorder: Recorder, connection: UInt64 = 1,
        seed: UInt64
    ) {
        self.model = model
        self.encoding = encoding
        self.recorder = recorder
        self.connection = connection
        worker = Worker(model: model.decoder)
        random = LabRandom(seed: seed)
        cache = model.decoder.makeCache()
        // These are the same for all sessions of a model, whatever their seed.
        var shared = LabRandom(seed: 77)
        let hidden = model.configuration.hiddenSize
        let count = if case .pooledMasks(let count) = encoding { count } else { 1 }
        let drawn = shared.normals(rows: count, columns: hidden)
        masks = Matrix(rows: count, columns: hidden, values: drawn.values.map { 20 * $0 })
        fixedOrder = shared.permutation(hidden)
    }

    /// Computes a prompt, as a first message or, with `unprotected` only, after others.
    package func prompt(_ tokens: [Int32]) throws {
        let c = model.configuration
        var hidden = model.embedding.selecting(tokens.map { Int($0) })
        if encoding == .unprotected { return try middle(hidden) }
        precondition(position == 0, "ControlSession: a second prompt")
        var orders: [Int: [Int]] = [:]
        let middleBlocks = (sharesFirst ? 0 : min(1, c.blockCount - 1))..<max(1, c.blockCount - 1)
        for block in 0..<c.blockCount {
            let isMiddle = middleBlocks.contains(block)
            let normed = model.normed(hidden, block: block)
            orders[block] = try rows(
                .linear(layer: block, site: .queryKeyValue, slot: isMiddle ? slot : nil, exact: block == 0),
                normed,
                isFirst: block == 0)
            let attended = try attention(hidden: normed, block, positions: 0..<tokens.count)
            if sendsAll { try rows(.linear(layer: block, site: .output, slot: nil, exact: false), attended) }
            hidden = hidden.adding(model.decoder.product(attended.values.span, .output(block: block)))
            if sendsAll { try rows(.feedForward(layer: block), hidden) }
            hidden = hidden.adding(
                model.decoder.feedForward(hidden.values.span, block: block, workspace: &workspace))
        }
        position = tokens.count
        guard sendsAll else { return }
        try rows(.headTopK(count: 4), hidden)
        guard case .oneTimePad = encoding else {
            for block in middleBlocks where orders[block] != nil {
                let order = orders[block]?.map { UInt32($0) } ?? []
                try send(Request(.unlock(slot: slot, layer: block, position: 0), permutation: order))
            }
            if c.blockCount > 1 { try lockTail(block: c.blockCount - 1) }
            return
        }
    }

    /// Computes one generated token.
    package func generate(_ token: Int32) throws {
        let c = model.configuration
        var hidden = model.embedding.selecting([Int(token)])
        if encoding == .unprotected { return try middle(hidden) }
        let last = c.blockCount - 1
        for block in 0..<c.blockCount {
            let normed = model.normed(hidden, block: block)
            if block == 0 {
                try rows(
                    .linear(layer: 0, site: .queryKeyValue, slot: nil, exact: true), normed, isFirst: true)
            } else if block == 1, last > 1, sendsAll {
                try clear(
                    .middle(blocks: 1..<last, segments: [Segment(slot: slot, position: position, rows: 1)]),
                    hidden)
            }
            if block == last, block > 0, sendsAll {
                try clear(
                    .tailScores(layer: last, segments: [Segment(slot: slot, position: position, rows: 1)]),
                    hidden)
            }
            let attended = try attention(
                hidden: normed, block, positions: position..<position + 1, isSent: block == 0 && sendsAll)
            hidden = hidden.adding(model.decoder.product(attended.values.span, .output(block: block)))
            if block == 0, sendsAll { try clear(.feedForward(layer: 0), hidden) }
            if block == last, block > 0, sendsAll {
                let factor = 1 + abs(random.normal())
                try clear(
                    .feedForward(layer: last),
                    Matrix(columns: hidden.columns, values: hidden.values.map { factor * $0 }))
            }
            hidden = hidden.adding(
                model.decoder.feedForward(hidden.values.span, block: block, workspace: &workspace))
        }
        position += 1
    }

    /// Whether the keys and values of the first block are shared like those of the others, because their product has
    /// no noise.
    private var sharesFirst: Bool {
        if case .permuted(_, let noise) = encoding { noise == 0 } else { false }
    }

    /// Whether more than products is sent; encodings of products alone keep everything else on the trusted side.
    private var sendsAll: Bool {
        switch encoding {
        case .unprotected, .permuted, .rotated, .oneTimePad: true
        case .mixed, .fixedChannels, .pooledMasks, .reusedMask, .realPads, .ring: false
        }
    }

    /// Sends all blocks at once, in clear.
    private func middle(_ hidden: Matrix) throws {
        let segment = Segment(slot: slot, position: position, rows: hidden.rows)
        try clear(.middle(blocks: 0..<model.configuration.blockCount, segments: [segment]), hidden)
        position += hidden.rows
    }

    /// Sends rows for which the encoding has no key.
    private func clear(_ operation: Request.Operation, _ rows: Matrix) throws {
        if case .oneTimePad = encoding { return try noise(operation, rows.rows, rows.columns) }
        try send(Request(operation, rows.tensor))
    }

    /// Encodes and sends the rows of an exchange; returns at which place each row is sent.
    @discardableResult
    private func rows(_ operation: Request.Operation, _ rows: Matrix, isFirst: Bool = false) throws -> [Int] {
        let natural = Array(0..<rows.rows)
        switch encoding {
        case .unprotected, .rotated:
            try send(Request(operation, rows.tensor))
            return natural
        case .permuted(let redundant, let noise):
            var all = rows
            if rows.rows > 1, redundant > 0 { all = all.appending(self.redundant(redundant, like: rows)) }
            let order = rows.rows > 1 ? random.permutation(all.rows) : natural
            if isFirst, noise > 0 {
                for i in all.values.indices { all.values[i] += noise * random.laplace() }
            }
            var places = natural
            for (place, row) in order.enumerated() where row < rows.rows { places[row] = place }
            try send(Request(operation, all.selecting(order).tensor))
            return places
        case .mixed(let shields, let orthogonal):
            let scale = (rows.squares.reduce(0, +) / Float(rows.rows * rows.columns)).squareRoot()
            var shield = random.normals(rows: shields, columns: rows.columns)
            for i in shield.values.indices { shield.values[i] *= 3 * scale }
            let all = rows.appending(shield)
            let mix =
                orthogonal ? random.orthogonal(all.rows) : random.normals(rows: all.rows, columns: all.rows)
            try send(Request(operation, mix.times(all).tensor))
        case .fixedChannels:
            var values: [Float] = []
            for row in natural { values += fixedOrder.map { rows[row][row * rows.columns + $0] } }
            try send(Request(operation, Matrix(columns: rows.columns, values: values).tensor))
        case .pooledMasks, .reusedMask:
            var all = rows
            for row in natural {
                for mask in 0..<masks.rows {
                    let factor = masks.rows == 1 ? 1 : random.normal()
                    for i in 0..<rows.columns {
                        all.values[row * rows.columns + i] += factor * masks.values[mask * rows.columns + i]
                    }
                }
            }
            try send(Request(operation, all.tensor))
        case .realPads(let scale):
            var all = rows
            for (row, square) in zip(natural, rows.squares) {
                let size = scale * (square / Float(rows.columns)).squareRoot()
                for i in row * rows.columns..<(row + 1) * rows.columns {
                    all.values[i] += size * random.normal()
                }
            }
            try send(Request(operation, all.tensor))
        case .oneTimePad: try noise(operation, rows.rows, rows.columns, plain: rows)
        case .ring: preconditionFailure("ControlSession: integers have sessions of their own")
        }
        return natural
    }

    /// Redundant rows, whose channels have the mean and deviation of the real rows'.
    private func redundant(_ count: Int, like rows: Matrix) -> Matrix {
        let mean = rows.mean
        let centred = rows.subtracting(mean)
        var deviation = [Float](repeating: 0, count: rows.columns)
        for (i, value) in centred.values.enumerated() {
            deviation[i % rows.columns] += value * value / Float(rows.rows)
        }
        var drawn = random.normals(rows: count, columns: rows.columns)
        for i in drawn.values.indices {
            let channel = i % rows.columns
            drawn.values[i] = mean[channel] + deviation[channel].squareRoot() * drawn.values[i]
        }
        return drawn
    }

    /// Encodes and sends attention of rows at these positions; returns the plain result.
    private func attention(
        hidden normed: Matrix, _ block: Int, positions: Range<Int>, isSent: Bool? = nil
    ) throws -> Matrix {
        let c = model.configuration
        var rows = Matrix(
            columns: model.queryWidth + 2 * model.keyWidth,
            values: model.decoder.product(normed.values.span, .queryKeyValue(block: block)))
        model.rotate(&rows, block: block, positions: positions, queryHeads: c.headCount)
        let (queries, others) = (
            rows.columns(0..<model.queryWidth), rows.columns(model.queryWidth..<rows.columns)
        )
        if block == 0 { firstBlock += others.values }
        let request = queries.values + others.values
        let attended = try model.decoder.attend(
            request.span, queries: positions.count, keys: positions.count, block: block,
            cache: cache.layers[block])
        if block == c.blockCount - 1 { tailKeys += others.columns(0..<model.keyWidth).values }
        if isSent ?? sendsAll {
            let all = block == 0 ? Matrix(columns: others.columns, values: firstBlock) : others
            let operation = Request.Operation.attention(
                layer: block, parts: [AttentionPart(queries: positions.count, keys: all.rows)])
            if case .oneTimePad = encoding {
                try noise(operation, 1, queries.values.count + all.values.count)
            } else {
                let values = encodeHeads(queries.values, all)
                try send(Request(operation, Matrix(rows: 1, columns: values.count, values: values).tensor))
            }
        }
        return Matrix(columns: model.queryWidth, values: attended)
    }

    private var tailKeys: [Float] = []

    private func lockTail(block: Int) throws {
        try send(
            Request(
                .lockTail(slot: slot, layer: block), Matrix(columns: model.keyWidth, values: tailKeys).tensor)
        )
    }

    /// Encodes queries, then rows of keys and values: each head by the encoding's map.
    private func encodeHeads(_ queries: [Float], _ others: Matrix) -> [Float] {
        let size = model.configuration.headSize
        switch encoding {
        case .permuted:
            let order = random.permutation(size)
            let all = queries + others.values
            return stride(from: 0, to: all.count, by: size).flatMap { start in order.map { all[start + $0] } }
        case .rotated:
            let (turn, turnValues) = (random.orthogonal(size), random.orthogonal(size))
            let q = Matrix(columns: size, values: queries).times(turn).values
            let keyWidth = model.keyWidth
            let k = Matrix(columns: size, values: others.columns(0..<keyWidth).values).times(turn)
            let v = Matrix(columns: size, values: others.columns(keyWidth..<2 * keyWidth).values).times(
                turnValues)
            let (keys, values) = (
                Matrix(columns: keyWidth, values: k.values), Matrix(columns: keyWidth, values: v.values)
            )
            return q + (0..<others.rows).flatMap { Array(keys[$0]) + values[$0] }
        default: return queries + others.values
        }
    }

    /// What the one-time pad of profile `sealed` leaves: uniform integers, here in messages of any kind.
    ///
    /// Rows of products are also sent as integers, as that profile sends them, for the tests of integers.
    private func noise(
        _ operation: Request.Operation, _ rows: Int, _ columns: Int, plain: Matrix? = nil
    ) throws {
        let words = (0..<rows * columns).map { _ in UInt32(truncatingIfNeeded: random.next()) }
        let values = words.map { Float(Int32(bitPattern: $0)) }
        let request = Request(operation, Matrix(rows: rows, columns: columns, values: values).tensor)
        number += 1
        recorder.record(request.message(number: number), direction: .received, connection: connection)
        guard let plain, case .linear = operation, case .oneTimePad(let reuse) = encoding else { return }
        var sealed: [UInt32] = []
        for row in 0..<plain.rows {
            let fresh = (0..<plain.columns).map { _ in UInt32(truncatingIfNeeded: random.next()) }
            let pad = pads.count <= reuse && pads.count > 0 ? pads[0] : fresh
            if pad.count != plain.columns { continue }
            pads.append(pad)
            for (x, mask) in zip(plain[row], pad) {
                sealed.append(UInt32(bitPattern: Int32((x * 4096).rounded())) &+ mask)
            }
        }
        guard !sealed.isEmpty else { return }
        number += 1
        var head = FrameHead(kind: .linearRing, isAnswer: false, number: number)
        head.elements = .uint32
        (head.rows, head.channels) = (sealed.count / plain.columns, plain.columns)
        recorder.record(
            Message(head: head, fields: [0, 0, 1, 0], tensor: .words(sealed)), direction: .received,
            connection: connection)
    }

    private func send(_ request: Request) throws {
        number += 1
        recorder.record(request.message(number: number), direction: .received, connection: connection)
        let answer = try worker.answer(request)
        recorder.record(
            answer.message(to: request.kind, number: number), direction: .sent, connection: connection)
    }
}

extension Matrix {
    /// The rows with other numbers added, `[rows, columns]`.
    func adding(_ other: [Float]) -> Matrix {
        Matrix(rows: rows, columns: columns, values: zip(values, other).map { $0 + $1 })
    }

    /// The tensor that is sent for the rows.
    fileprivate var tensor: EncodedTensor {
        var plain = Plaintext(rows: rows, channels: columns)
        var span = plain.values
        for (i, value) in values.enumerated() { span[i] = value }
        return plain.sendInClear()
    }

    /// The product with another matrix, `[rows, other.columns]`.
    fileprivate func times(_ other: Matrix) -> Matrix {
        precondition(columns == other.rows, "Matrix: product")
        var out = [Float](repeating: 0, count: rows * other.columns)
        for row in 0..<rows {
            for k in 0..<columns {
                let factor = values[row * columns + k]
                for c in 0..<other.columns {
                    out[row * other.columns + c] += factor * other.values[k * other.columns + c]
                }
            }
        }
        return Matrix(rows: rows, columns: other.columns, values: out)
    }
}

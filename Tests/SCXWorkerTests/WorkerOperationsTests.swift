import Foundation
import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("operations of the worker")
struct WorkerOperationsTests {
    static let rows = 11

    @Test("a prefill in pieces equals the blocks in one", arguments: WorkerFixture.names)
    func prefill(_ name: String) throws {
        let fixture = try WorkerFixture(name)
        let input = noise(Self.rows * fixture.hidden, seed: 1)
        let expected = try fixture.middle(input)
        var hidden = input
        for layer in 0..<fixture.blocks {
            var projected = try fixture.tensor(
                .linear(layer: layer, site: .queryKeyValue, slot: nil, exact: false),
                fixture.normed(hidden, layer))
            try fixture.rotate(&projected, layer, positions: 0..<Self.rows)
            let (queries, keys) = fixture.split(projected)
            let attended = try fixture.tensor(
                .attention(layer: layer, parts: [AttentionPart(queries: Self.rows, keys: Self.rows)]),
                queries + keys, channels: queries.count + keys.count)
            #expect(distance(try inChunks(fixture, layer, queries, keys), attended) < 1e-6)
            let update = try fixture.tensor(
                .linear(layer: layer, site: .output, slot: nil, exact: false), attended,
                channels: fixture.queryWidth)
            hidden = sum(hidden, update)
            hidden = sum(hidden, try fixture.tensor(.feedForward(layer: layer), hidden))
        }
        #expect(distance(hidden, expected) < 1e-5)
    }

    /// The same attention by three requests to a slot, the second repeated with other keys before.
    private func inChunks(
        _ fixture: WorkerFixture, _ layer: Int, _ queries: [Float], _ keys: [Float]
    ) throws -> [Float] {
        var attended: [Float] = []
        for (range, scale): (Range<Int>, Float) in [(0..<4, 1), (4..<9, 2), (4..<9, 1), (9..<Self.rows, 1)] {
            let query = queries[range.lowerBound * fixture.queryWidth..<range.upperBound * fixture.queryWidth]
            let width = 2 * fixture.keyWidth
            let key = keys[range.lowerBound * width..<range.upperBound * width].map { $0 * scale }
            let part = try fixture.tensor(
                .attention(
                    layer: layer,
                    parts: [
                        AttentionPart(
                            slot: Slot(number: 7), position: range.lowerBound, queries: range.count,
                            keys: range.count)
                    ]), query + key, channels: query.count + key.count)
            if scale == 1 { attended += part }
        }
        return attended
    }

    @Test("attention in groups is attention of the rounded values", arguments: [TensorPrecision.int8, .int4])
    func groups(_ precision: TensorPrecision) throws {
        let fixture = try WorkerFixture()
        let count = 3 * fixture.queryWidth + 5 * 2 * fixture.keyWidth
        let operation = Request.Operation.attention(layer: 0, parts: [AttentionPart(queries: 3, keys: 5)])
        let tensor = EncodedTensor(
            encodedRows: 1, channels: count, values: noise(count, seed: 13), precision: precision,
            exactPrefix: fixture.queryWidth)
        guard case .tensor(let answer) = try fixture.worker.answer(Request(operation, tensor)) else {
            Issue.record("not a tensor")
            return
        }
        #expect(try fixture.tensor(operation, tensor.values, channels: count) == answer.values)
    }

    @Test("every site is its bare product with its bias")
    func sites() throws {
        let fixture = try WorkerFixture("llama-biases")
        let configuration = fixture.configuration
        let parts: [(Site, [(BlockTensor, BlockTensor)])] = [
            (.queryKeyValue, [(.query, .queryBias), (.key, .keyBias), (.value, .valueBias)]),
            (.output, [(.output, .outputBias)]), (.gateUp, [(.gate, .gateBias), (.up, .upBias)]),
            (.down, [(.down, .downBias)]),
        ]
        for (site, tensors) in parts {
            var expected: [Float] = []
            var input: [Float] = []
            for (weight, bias) in tensors {
                let shape = try #require(configuration.shape(of: weight))
                let name = configuration.name(of: weight, block: 1)
                let weights = try fixture.checkpoint.tensor(name, shape: shape).values()
                input = noise(shape[1], seed: 9)
                var offsets = [Float](repeating: 0, count: shape[0])
                if configuration.shape(of: bias) != nil {
                    offsets = try #require(try fixture.checkpoint.values(of: bias, block: 1))
                }
                for (row, offset) in zip(slices(weights, shape[1]), offsets) {
                    expected.append(zip(row, input).reduce(offset) { $0 + $1.0 * $1.1 })
                }
            }
            let got = try fixture.tensor(
                .linear(layer: 1, site: site, slot: nil, exact: false), input, channels: input.count)
            #expect(distance(got, expected) < 1e-5, "\(site)")
        }
    }

    @Test(
        "noise that was added before an exact product can be subtracted after it without a trace",
        arguments: [WeightFormat.f32, .bf16, .int8, .int4])
    func exact(_ format: WeightFormat) throws {
        let fixture = try WorkerFixture("llama-biases", format: format)
        // Multiples of 2⁻¹⁵, whose sums need 24 bits and no more.
        func steps(_ values: [Float]) -> [Float] { values.map { ($0 * 0x1p15).rounded() * 0x1p-15 } }
        let clean = steps(noise(3 * fixture.hidden, seed: 11))
        let site = DecoderSite.queryKeyValue(block: 0)
        let weights = try fixture.model.exactWeights(of: site)
        let expected = fixture.model.exactProduct(clean.span, weights)
        var rounded = expected.map { Float($0) }
        var span = rounded.mutableSpan
        fixture.model.addBias(of: site, to: &span)
        #expect(distance(rounded, fixture.model.product(clean.span, site)) < (format == .f32 ? 1e-5 : 0.2))
        for repetition in 0..<2 {
            let alpha = steps(noise(3 * fixture.hidden, seed: UInt64(12 + repetition)).map { 64 * $0 })
            let removed = fixture.model.exactProduct(alpha.span, weights)
            let request = Request(
                .linear(
                    layer: 0, site: .queryKeyValue, slot: repetition == 0 ? nil : Slot(number: 1),
                    exact: true), fixture.rows(sum(clean, alpha), fixture.hidden))
            guard case .float64(let noised) = try fixture.worker.answer(request) else {
                Issue.record("not in float64")
                return
            }
            #expect(zip(noised.values, removed).map { $0 - $1 } == expected)
        }
    }

    @Test("the head's bare product is its logits without the norm")
    func head() throws {
        let fixture = try WorkerFixture()
        let input = noise(3 * fixture.hidden, seed: 2)
        let norm = try fixture.checkpoint.tensor(
            fixture.configuration.finalNormName, shape: [fixture.hidden]
        ).values()
        var normed = input
        var span = normed.mutableSpan
        rmsNorm(&span, rows: 3, weight: norm.span, epsilon: fixture.configuration.normEpsilon)
        let logits = try fixture.tensor(
            .headTopK(count: fixture.configuration.vocabularySize), input)
        let bare = try fixture.tensor(.linear(layer: 0, site: .head, slot: nil, exact: false), normed)
        #expect(distance(bare, logits) < 1e-6)
    }

    @Test("unlocked rows make the cache that a plain prefill makes", arguments: WorkerFixture.names)
    func unlock(_ name: String) throws {
        let fixture = try WorkerFixture(name)
        let input = noise(Self.rows * fixture.hidden, seed: 3)
        let next = noise(2 * fixture.hidden, seed: 4)
        _ = try fixture.middle(input)
        let expected = try fixture.middle(next, position: Self.rows)

        let slot = Slot(number: 2)
        var hidden = input
        for layer in 0..<fixture.blocks {
            // Redundant rows and another order: row order[i] of what is sent is row i of what is meant.
            let clear = try fixture.normed(hidden + noise(6 * fixture.hidden, seed: 5), layer)
            let order = shuffled(Self.rows + 6, seed: UInt64(layer))
            var sent = clear
            for (from, to) in order.enumerated() {
                for c in 0..<fixture.hidden {
                    sent[to * fixture.hidden + c] = clear[from * fixture.hidden + c]
                }
            }
            // An earlier request's rows are replaced.
            for values in [noise(sent.count, seed: 6), sent] {
                _ = try fixture.tensor(
                    .linear(layer: layer, site: .queryKeyValue, slot: slot, exact: false), values)
            }
            let permutation = order.prefix(Self.rows).map { UInt32($0) }
            let answer = try fixture.worker.answer(
                Request(.unlock(slot: slot, layer: layer, position: 0), permutation: permutation))
            #expect(answer == .done)
            hidden = try fixture.middle(hidden, blocks: layer..<layer + 1, slot: 3)
        }
        let got = try fixture.middle(next, slot: 2, position: Self.rows)
        #expect(distance(got, expected) < 1e-5)
    }

    @Test("rows unlocked in two parts are those unlocked at once, and what lies behind is cut")
    func unlockInParts() throws {
        let fixture = try WorkerFixture()
        let input = noise(Self.rows * fixture.hidden, seed: 3)
        let next = noise(fixture.hidden, seed: 4)
        for (slot, parts): (UInt32, [Range<Int>]) in [(1, [0..<11]), (2, [0..<4, 4..<8, 4..<11])] {
            for part in parts {
                let values = Array(input[part.lowerBound * fixture.hidden..<part.upperBound * fixture.hidden])
                _ = try fixture.tensor(
                    .linear(
                        layer: 0, site: .queryKeyValue, slot: Slot(number: slot), exact: false), values)
                let request = Request(
                    .unlock(slot: Slot(number: slot), layer: 0, position: part.lowerBound),
                    permutation: (0..<part.count).map { UInt32($0) })
                #expect(try fixture.worker.answer(request) == .done)
            }
        }
        let got = try (1...2).map {
            try fixture.middle(next, blocks: 0..<1, slot: $0, position: Self.rows)
        }
        #expect(distance(got[1], got[0]) < 1e-6)
    }

    @Test("scores of the tail and values give the attention", arguments: WorkerFixture.names)
    func tail(_ name: String) throws {
        let fixture = try WorkerFixture(name)
        let layer = fixture.blocks - 1
        let steps = 3
        let total = Self.rows + steps
        let hidden = noise(total * fixture.hidden, seed: 7)
        var projected = try fixture.tensor(
            .linear(layer: layer, site: .queryKeyValue, slot: nil, exact: false),
            fixture.normed(hidden, layer))
        // Each step by itself, since dynamic scaling follows the length.
        let stride = fixture.queryWidth + 2 * fixture.keyWidth
        var rotated: [Float] = []
        for positions in [0..<Self.rows] + (Self.rows..<total).map({ $0..<$0 + 1 }) {
            var part = Array(projected[positions.lowerBound * stride..<positions.upperBound * stride])
            try fixture.rotate(&part, layer, positions: positions)
            rotated += part
        }
        projected = rotated
        let (queries, keysAndValues) = fixture.split(projected)
        let width = fixture.keyWidth
        let keys = slices(keysAndValues, 2 * width).map { Array($0.prefix(width)) }
        var values = slices(keysAndValues, 2 * width).prefix(Self.rows).map { Array($0.suffix(width)) }

        let order = shuffled(Self.rows + 4, seed: 8)
        var locked = noise(order.count * width, seed: 10)
        for (from, to) in order.prefix(Self.rows).enumerated() {
            locked.replaceSubrange(to * width..<(to + 1) * width, with: keys[from])
        }
        let slot = Slot(number: 1)
        #expect(
            try fixture.worker.answer(
                Request(.lockTail(slot: slot, layer: layer), fixture.rows(locked, width))) == .done)

        for position in Self.rows..<total {
            let row = Array(hidden[position * fixture.hidden..<(position + 1) * fixture.hidden])
            let answer = try fixture.tensor(
                .tailScores(
                    layer: layer, segments: [Segment(slot: slot, position: position, rows: 1)]), row)
            let count = order.count + position - Self.rows + 1
            try #require(answer.count == 2 * width + fixture.configuration.headCount * count)
            #expect(distance(Array(answer.prefix(width)), keys[position]) < 1e-5)
            values.append(Array(answer[width..<2 * width]))
            let scores = slices(Array(answer.dropFirst(2 * width)), count).map { row in
                // Back in order, without the redundant rows.
                order.prefix(Self.rows).map { row[row.startIndex + $0] }
                    + row.dropFirst(order.count)
            }
            let query = queries[position * fixture.queryWidth..<(position + 1) * fixture.queryWidth]
            let whole = query + keysAndValues.prefix((position + 1) * 2 * width)
            let expected = try fixture.tensor(
                .attention(layer: layer, parts: [AttentionPart(queries: 1, keys: position + 1)]),
                Array(whole), channels: whole.count)
            #expect(distance(attend(fixture, scores, values, layer), expected) < 1e-5)
        }
    }

    @Test("keys of the tail are rounded as the cache rounds them")
    func rounding() throws {
        let model = try WorkerFixture(format: .bf16).model
        let (heads, size) = (model.configuration.headCount, model.configuration.headSize)
        let width = model.configuration.keyValueHeadCount * size
        // Large queries, so that an unrounded key would show.
        let queries = noise(heads * size, seed: 1).map { 100 * $0 }
        let keys = noise(2 * width, seed: 2)
        let values = [Float](repeating: 1, count: width) + [Float](repeating: 0, count: width)
        let rows =
            queries + keys.prefix(width) + values.prefix(width) + keys.suffix(width) + values.suffix(width)
        let attended = try model.attend(
            rows.span, queries: 1, keys: 2, block: 0, cache: model.makeLayerCache())
        var scores = [Float](repeating: 0, count: heads * 2)
        var span = scores.mutableSpan
        model.scores(queries.span, model.roundedAsCached(keys[...]).span, into: &span, at: 0)
        for (head, pair) in slices(scores, 2).enumerated() {
            // The share of the first value, which is 1 where the other is 0.
            let share = 1 / (1 + Foundation.exp(Double(pair[pair.startIndex + 1] - pair[pair.startIndex])))
            #expect(abs(Double(attended[head * size]) - share) < 1e-5)
        }
    }

    /// Softmax and sum of values, as the trusted side does them.
    private func attend(
        _ fixture: WorkerFixture, _ scores: [[Float]], _ values: [[Float]], _ layer: Int
    ) -> [Float] {
        let (size, heads) = (fixture.configuration.headSize, fixture.configuration.headCount)
        let perKey = heads / fixture.configuration.keyValueHeadCount
        let window = fixture.configuration.slidingWindows[layer] ?? .max
        var out: [Float] = []
        for head in 0..<heads {
            let visible = Array(zip(scores[head], values).suffix(window))
            let largest = visible.reduce(-Float.infinity) { max($0, $1.0) }
            let weights = visible.map { Float(Foundation.exp(Double($0.0 - largest))) }
            let total = weights.reduce(0, +)
            for c in 0..<size {
                let channel = head / perKey * size + c
                out.append(zip(weights, visible).reduce(0) { $0 + $1.0 * $1.1.1[channel] } / total)
            }
        }
        return out
    }

    private func sum(_ a: [Float], _ b: [Float]) -> [Float] { zip(a, b).map { $0 + $1 } }
}

import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("requests of experts")
struct ExpertRequestTests {
    /// The integers of each expert, `[experts][outputs][inputs]`, made of the checkpoint's weights.
    static func integers(_ fixture: WorkerFixture, _ site: DecoderSite) throws -> [[[Int64]]] {
        let groups = try Decoder.loadGroups(
            site, of: fixture.checkpoint, format: .f32, pool: WorkerFixture.pool
        ).groups
        return groups.map { weights in
            var row = [Float](repeating: 0, count: weights.columns)
            return (0..<weights.rows).map { index in
                var span = row.mutableSpan
                weights.dequantize(row: index, into: &span)
                let largest = row.reduce(0) { max($0, abs($1)) }
                return row.map { Int64(($0 * (127 / largest)).rounded(.toNearestOrEven)) }
            }
        }
    }

    /// The product of rows with the channels of these experts.
    static func reference(_ rows: [UInt32], _ weights: [[[Int64]]]) -> [UInt32] {
        let width = weights[0][0].count
        return stride(from: 0, to: rows.count, by: width).enumerated().flatMap { part, start in
            RingRequestTests.reference(Array(rows[start..<start + width]), weights[part % weights.count])
        }
    }

    @Test(
        "each expert multiplies its own channels, of all experts or some",
        arguments: ["mixtral", "qwen3-moe-fused"],
        [Site.expertGateUp, .expertDown])
    func products(_ name: String, _ site: Site) throws {
        let fixture = try WorkerFixture(name, format: .int8)
        let layer = fixture.blocks - 1
        let weights = try Self.integers(fixture, DecoderSite(site, layer: layer))
        let width = weights[0][0].count
        for (groups, rows) in [(nil, 1), (nil, 3), ([0, 2], 1), ([1, 2, 3], 5), ([3], 2)] as [([Int]?, Int)] {
            let chosen = groups.map { $0.map { weights[$0] } } ?? weights
            let values = words(rows * chosen.count * width, seed: UInt64(rows))
            let request = Request(
                .linearRing(layer: layer, site: site, groups: groups),
                RingTensor(paddedRows: rows, channels: chosen.count * width, values: values))
            let answer = try RingRequestTests.ring(fixture.worker.answer(request))
            #expect(answer.rows == rows && answer.channels == chosen.count * chosen[0].count)
            #expect(answer.values == Self.reference(values, chosen))
        }
        // Pads are of all experts.
        let count = fixture.model.inputs(of: DecoderSite(site, layer: layer))
        var pads = [UInt32](repeating: 0, count: 2 * count)
        var span = pads.mutableSpan
        RingRequestTests.seed.expand(rows: 4..<6, inputs: count, into: &span)
        let answer = try RingRequestTests.ring(
            fixture.worker.answer(RingRequestTests.pads(site, layer: layer, first: 4, rows: 2)))
        #expect(answer.values == Self.reference(pads, weights))
    }

    @Test("requests for the same experts are one product, those for others are not")
    func batches() throws {
        let fixture = try WorkerFixture("mixtral", format: .int8)
        func request(_ groups: [Int]?, rows: Int) -> Request {
            let count = (groups?.count ?? 4) * fixture.hidden
            return Request(
                .linearRing(layer: 1, site: .expertGateUp, groups: groups),
                RingTensor(paddedRows: rows, channels: count, values: words(rows * count, seed: UInt64(rows)))
            )
        }
        let requests = [
            request([0, 1], rows: 1), request([0, 1], rows: 2), request([0, 3], rows: 3),
            request(nil, rows: 4),
        ]
        let before = fixture.worker.statistics.batches
        let together = fixture.worker.answer(
            batch: requests.enumerated().map { (UInt64($0.offset), $0.element) })
        #expect(fixture.worker.statistics.batches == before + 3)
        for (request, answer) in zip(requests, together) {
            #expect(try answer.get() == fixture.worker.answer(request))
        }
    }

    @Test("experts that are not there, and products that experts do not have, are refused")
    func refusals() throws {
        let fixture = try WorkerFixture("qwen2-moe", format: .int8)
        let hidden = fixture.hidden
        func ring(_ layer: Int, _ site: Site, _ groups: [Int]?, _ channels: Int) -> Bool {
            RingRequestTests.isInvalid {
                _ = try fixture.worker.answer(
                    Request(
                        .linearRing(layer: layer, site: site, groups: groups),
                        RingTensor(paddedRows: 1, channels: channels, values: words(channels, seed: 1))))
            }
        }
        // Blocks 0 and 2 are dense.
        #expect(ring(0, .expertGateUp, nil, 8 * hidden) && !ring(1, .expertGateUp, nil, 8 * hidden))
        #expect(ring(1, .expertGateUp, [8], hidden) && ring(1, .expertGateUp, [0, 1], hidden))
        #expect(ring(1, .gateUp, [1], hidden) && !ring(1, .gateUp, nil, hidden))
        #expect(ring(77, .expertDown, nil, hidden))
        #expect(
            RingRequestTests.isInvalid {
                _ = try fixture.worker.answer(
                    Request(
                        .linear(layer: 1, site: .expertGateUp, slot: nil, exact: true),
                        fixture.rows(noise(8 * hidden, seed: 1), 8 * hidden)))
            })
        let mixtral = try WorkerFixture("mixtral", format: .int8)
        #expect(
            RingRequestTests.isInvalid {
                _ = try mixtral.worker.answer(RingRequestTests.pads(.down, rows: 1))
            })
    }

    @Test("a model with latent attention refuses slots for keys and values, and tails")
    func latentRefusals() throws {
        let fixture = try WorkerFixture("deepseek-v3")
        let (hidden, slot) = (fixture.hidden, Slot(number: 1))
        let row = fixture.rows(noise(hidden, seed: 1), hidden)
        let keys = fixture.model.configuration.headSize
        let tail = fixture.rows(noise(2 * keys, seed: 2), keys)
        _ = try fixture.worker.answer(Request(.lockTail(slot: slot, layer: 0), tail))
        let segment = Segment(slot: slot, position: 2, rows: 1)
        for operation in [
            Request.Operation.tailScores(layer: 0, segments: [segment]),
            .linear(layer: 0, site: .queryKeyValue, slot: slot, exact: false),
            .linear(layer: 0, site: .queryKeyValue, slot: slot, exact: true),
            .linear(layer: 0, site: .queryLatent, slot: nil, exact: false),
        ] {
            #expect(
                RingRequestTests.isInvalid { _ = try fixture.worker.answer(Request(operation, row)) },
                "\(operation)")
        }
        _ = try fixture.worker.answer(
            Request(.linear(layer: 0, site: .queryKeyValue, slot: nil, exact: false), row))
    }
}

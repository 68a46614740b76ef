import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("requests of integers")
struct RingRequestTests {
    static let models = ["llama-gqa2", "qwen2", "qwen3", "llama-head-dim"]
    /// The sites of a model without experts.
    static let sites: [Site] = [.queryKeyValue, .output, .gateUp, .down, .head]
    static let seed = PadSeed(bytes: Array(100..<132))

    /// Layer 0 of the head, and the last layer of everything else.
    static func layer(_ site: Site, _ fixture: WorkerFixture) -> Int {
        site == .head ? 0 : fixture.blocks - 1
    }

    /// The integers of a whole site, `[outputs][inputs]`, made of the checkpoint's weights as `docs/protocol.md` says.
    static func integers(_ fixture: WorkerFixture, _ layer: Int, _ site: Site) throws -> [[Int64]] {
        let weights = try Decoder.loadSite(
            DecoderSite(site, layer: layer), of: fixture.checkpoint, format: .f32, pool: WorkerFixture.pool
        ).weights
        var row = [Float](repeating: 0, count: weights.columns)
        return (0..<weights.rows).map { index in
            var span = row.mutableSpan
            weights.dequantize(row: index, into: &span)
            let largest = row.reduce(0) { max($0, abs($1)) }
            guard largest >= 0x1p-100 else { return row.map { _ in 0 } }
            let inverse = 127 / largest
            return row.map { Int64(($0 * inverse).rounded(.toNearestOrEven)) }
        }
    }

    /// The product in 64 bits, cut to 32 at the end.
    static func reference(_ rows: [UInt32], _ weights: [[Int64]]) -> [UInt32] {
        let inputs = weights[0].count
        return stride(from: 0, to: rows.count, by: inputs).flatMap { start in
            weights.map { row in
                var sum: Int64 = 0
                for (value, weight) in zip(rows[start..<start + inputs], row) {
                    sum &+= Int64(value) &* weight
                }
                return UInt32(truncatingIfNeeded: sum)
            }
        }
    }

    static func tensor(_ request: Request) throws -> RingTensor {
        guard case .ring(let tensor) = request.payload else { throw LinkError.unexpectedAnswer("no ring") }
        return tensor
    }

    static func ring(_ answer: Answer) throws -> RingTensor {
        guard case .ring(let tensor) = answer else { throw LinkError.unexpectedAnswer("no ring") }
        return tensor
    }

    static func pads(
        _ site: Site, layer: Int = 0, first: Int = 0, rows: Int, seed: PadSeed = seed
    ) -> Request {
        Request(.padProducts(layer: layer, site: site, seed: seed, first: first, rows: rows))
    }

    static func isInvalid(_ body: () throws -> Void) -> Bool {
        do { try body() } catch {
            if case .invalidRequest? = error as? LinkError { return true }
        }
        return false
    }

    @Test("rows are multiplied as in 64 bits", arguments: models, sites)
    func products(_ name: String, _ site: Site) throws {
        let fixture = try WorkerFixture(name, format: .int8)
        let layer = Self.layer(site, fixture)
        let weights = try Self.integers(fixture, layer, site)
        #expect(weights.joined().contains { abs($0) == 127 } && weights.joined().contains { $0 < 0 })
        for rows in [1, 2, 17] {
            let request = fixture.ring(layer, site, rows: rows, seed: UInt64(rows))
            let answer = try Self.ring(fixture.worker.answer(request))
            #expect(answer.rows == rows && answer.channels == weights.count)
            #expect(answer.values == Self.reference(try Self.tensor(request).values, weights))
        }
        // The ends of the range, where a product in fewer bits would show.
        for value: UInt32 in [0, 1, 0x7FFF_FFFF, 0x8000_0000, .max] {
            let inputs = weights[0].count
            let rows = [UInt32](repeating: value, count: inputs)
            let request = Request(
                .linearRing(layer: layer, site: site),
                RingTensor(paddedRows: 1, channels: inputs, values: rows))
            #expect(try Self.ring(fixture.worker.answer(request)).values == Self.reference(rows, weights))
        }
    }

    @Test("a seed's pads are multiplied like rows", arguments: models, sites)
    func pads(_ name: String, _ site: Site) throws {
        let fixture = try WorkerFixture(name, format: .int8)
        let layer = Self.layer(site, fixture)
        let weights = try Self.integers(fixture, layer, site)
        let inputs = weights[0].count
        for (first, rows) in [(0, 1), (5, 3), (Int(UInt32.max), 2)] {
            var pads = [UInt32](repeating: 0, count: rows * inputs)
            var span = pads.mutableSpan
            Self.seed.expand(
                rows: UInt64(first)..<UInt64(first + rows), inputs: inputs, into: &span)
            let answer = try Self.ring(
                fixture.worker.answer(Self.pads(site, layer: layer, first: first, rows: rows)))
            #expect(answer.rows == rows && answer.channels == weights.count)
            #expect(answer.values == Self.reference(pads, weights))
            // And like rows that travelled.
            let request = Request(
                .linearRing(layer: layer, site: site),
                RingTensor(paddedRows: rows, channels: inputs, values: pads))
            #expect(try fixture.worker.answer(request) == .ring(answer))
        }
        let other = Self.pads(site, layer: layer, rows: 1, seed: PadSeed(bytes: Array(101..<133)))
        let same = Self.pads(site, layer: layer, rows: 1)
        #expect(try fixture.worker.answer(other) != fixture.worker.answer(same))
    }

    @Test("requests of one connection and of several are one product, each with its own rows")
    func batches() throws {
        let (fixture, alone) = (try WorkerFixture(format: .int8), try WorkerFixture(format: .int8))
        var batch: [(connection: UInt64, request: Request)] = []
        for connection: UInt64 in 1...3 {
            for i in 0..<Int(connection) {
                let seed = 10 * connection + UInt64(i)
                batch.append((connection, fixture.ring(1, .gateUp, rows: i + 1, seed: seed)))
            }
        }
        // Others of the same connections, which share no weights with them.
        batch.append((1, fixture.ring(1, .down, rows: 2, seed: 5)))
        batch.append((2, Self.pads(.gateUp, layer: 1, rows: 2)))
        let bad = Request(
            .linearRing(layer: 1, site: .gateUp),
            RingTensor(paddedRows: 1, channels: 3, values: [1, 2, 3]))
        batch.insert((2, bad), at: 2)
        let answers = fixture.worker.answer(batch: batch)
        for (i, job) in batch.enumerated() {
            if i == 2 {
                #expect(Self.isInvalid { _ = try answers[i].get() })
            } else {
                #expect(try answers[i].get() == alone.worker.answer(job.request))
            }
        }
        #expect(fixture.worker.statistics.batches == 3)
        #expect(alone.worker.statistics.batches == 8)
        #expect(fixture.worker.statistics.requests == 9)
        #expect(fixture.worker.statistics.slots == 0)
    }

    @Test("two requests of a connection that are no such product are no batch")
    func notBatched() async {
        await #expect(processExitsWith: .failure) {
            let fixture = try WorkerFixture(format: .int8)
            _ = fixture.worker.answer(batch: (0..<2).map { _ in (1, RingRequestTests.pads(.down, rows: 1)) })
        }
    }

    @Test("numbers that do not fit are refused")
    func refusals() throws {
        let fixture = try WorkerFixture(format: .int8)
        let hidden = fixture.hidden
        func rows(_ layer: Int, _ site: Site, _ channels: Int) -> Request {
            Request(
                .linearRing(layer: layer, site: site),
                RingTensor(paddedRows: 2, channels: channels, values: words(2 * channels, seed: 1)))
        }
        let requests = [
            rows(fixture.blocks, .queryKeyValue, hidden), rows(-1, .queryKeyValue, hidden),
            rows(.max, .down, 2 * hidden), rows(1, .head, hidden), rows(0, .queryKeyValue, hidden + 1),
            rows(0, .down, hidden), rows(0, .output, 1),
            Request(.linearRing(layer: 0, site: .queryKeyValue)),
            Request(
                .linearRing(layer: 0, site: .queryKeyValue), fixture.rows(noise(hidden, seed: 1), hidden)),
            Request(
                .linear(layer: 0, site: .queryKeyValue, slot: nil, exact: false),
                RingTensor(paddedRows: 1, channels: hidden, values: words(hidden, seed: 1))),
            Self.pads(.down, layer: fixture.blocks, rows: 1), Self.pads(.down, layer: -1, rows: 1),
            Self.pads(.head, layer: 1, rows: 1), Self.pads(.down, rows: 0), Self.pads(.down, rows: -1),
            Self.pads(.down, rows: PadSeed.rowLimit + 1), Self.pads(.down, rows: .max),
            Self.pads(.down, first: -1, rows: 1), Self.pads(.down, first: 1 << 32, rows: 1),
            Self.pads(.down, first: .max, rows: 1),
        ]
        for request in requests {
            #expect("\(request.operation)") { _ = try fixture.worker.answer(request) } throws: { error in
                if case .invalidRequest? = error as? LinkError { true } else { false }
            }
        }
        #expect(fixture.worker.statistics.slots == 0)
        _ = try fixture.worker.answer(fixture.ring(0, .down, rows: 1, seed: 1))
    }

    @Test("weights of other formats multiply no integers", arguments: [WeightFormat.f32, .bf16, .int4])
    func otherFormats(_ format: WeightFormat) throws {
        let fixture = try WorkerFixture(format: format)
        let error = LinkError.invalidRequest(
            "products of integers need a worker with int8 weights ('--weights int8')")
        for request in [fixture.ring(0, .down, rows: 1, seed: 1), Self.pads(.down, rows: 1)] {
            #expect(throws: error) { try fixture.worker.answer(request) }
        }
        #expect(try !WorkerClient(fixture.server(format: format)).hello.ring)
    }

    @Test("answers are limited, and so are the pads before them")
    func limits() throws {
        var limits = Worker.Limits()
        // Of down, whose inputs are twice its outputs: two rows of pads, or four answered.
        let fixture = try WorkerFixture(format: .int8)
        limits.answerBytes = 4 * 4 * fixture.hidden
        let small = try WorkerFixture(format: .int8, limits: limits)
        #expect(fixture.configuration.feedForwardSize == 2 * fixture.hidden)
        _ = try small.worker.answer(small.ring(0, .down, rows: 4, seed: 1))
        #expect(Self.isInvalid { _ = try small.worker.answer(small.ring(0, .down, rows: 5, seed: 1)) })
        _ = try small.worker.answer(Self.pads(.down, rows: 2))
        #expect(Self.isInvalid { _ = try small.worker.answer(Self.pads(.down, rows: 3)) })
        // Of gateUp, whose outputs are four times its inputs.
        _ = try small.worker.answer(Self.pads(.gateUp, rows: 1))
        #expect(Self.isInvalid { _ = try small.worker.answer(Self.pads(.gateUp, rows: 2)) })
    }

    @Test("shards answer their columns, which make the whole side by side", arguments: [2, 3, 5])
    func shards(_ count: Int) throws {
        let whole = try WorkerFixture(format: .int8)
        let shards = try (0..<count).map { index in
            try WorkerFixture(format: .int8, shard: try #require(Shard(index: index, of: count)))
        }
        for site in Self.sites {
            let request = whole.ring(Self.layer(site, whole), site, rows: 3, seed: 9)
            let pads = Self.pads(site, layer: Self.layer(site, whole), first: 4, rows: 3)
            for request in [request, pads] {
                let expected = try Self.ring(whole.worker.answer(request))
                let parts = try shards.map { try Self.ring($0.worker.answer(request)) }
                #expect(parts.allSatisfy { $0.rows == 3 && $0.channels > 0 })
                let joined = (0..<3).flatMap { row in
                    parts.flatMap { $0.values[row * $0.channels..<(row + 1) * $0.channels] }
                }
                #expect(joined == expected.values)
            }
        }
    }

    @Test("a worker with a shard says which, and refuses everything but integers")
    func shardRefusals() throws {
        let shard = try #require(Shard(index: 1, of: 3))
        let fixture = try WorkerFixture(format: .int8, shard: shard)
        let client = try WorkerClient(fixture.server(format: .int8))
        #expect(client.hello.shard == shard && client.hello.ring && client.hello.weights == "int8")
        let rows = fixture.rows(noise(fixture.hidden, seed: 1), fixture.hidden)
        let slot = Slot(number: 1)
        let segment = [Segment(slot: slot, position: 0, rows: 1)]
        let width = fixture.queryWidth + 2 * fixture.keyWidth
        for request in [
            Request(.linear(layer: 0, site: .queryKeyValue, slot: nil, exact: false), rows),
            Request(.linear(layer: 0, site: .head, slot: nil, exact: true), rows),
            Request(
                .attention(layer: 0, parts: [AttentionPart(queries: 1, keys: 1)]),
                fixture.rows(noise(width, seed: 1), width)),
            Request(.feedForward(layer: 0), rows), Request(.headTopK(count: 1), rows),
            Request(.unlock(slot: slot, layer: 0, position: 0), permutation: [0]),
            Request(
                .lockTail(slot: slot, layer: 0),
                fixture.rows(noise(fixture.keyWidth, seed: 1), fixture.keyWidth)),
            Request(.middle(blocks: 0..<1, segments: segment), rows),
            Request(.tailScores(layer: 0, segments: segment), rows),
        ] {
            #expect(
                throws: LinkError.invalidRequest(
                    "this worker holds a part of each site and multiplies integers alone")
            ) { try client.exchange(request) }
        }
        let ring = fixture.ring(0, .down, rows: 1, seed: 1)
        #expect(try client.exchange(ring) == fixture.worker.answer(ring))
        #expect(try client.exchange(Request(.release(slot: slot))) == .done)
        #expect(try client.statistics().slots == 0)
        client.close()
        #expect(try client.end() == nil)
    }
}

import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("batches of the worker")
struct WorkerBatchTests {
    /// What each connection asks, one request after the other; every column shares a product.
    static func requests(_ fixture: WorkerFixture, _ connection: UInt64) -> [Request] {
        let (hidden, slot) = (fixture.hidden, Slot(number: 4))
        func rows(_ count: Int, _ seed: UInt64) -> EncodedTensor {
            fixture.rows(noise(count * hidden, seed: seed + 100 * connection), hidden)
        }
        let n = Int(connection) + 2
        let segments = [Segment(slot: slot, position: 0, rows: n)]
        let both = [
            Segment(slot: slot, position: n, rows: 1), Segment(slot: Slot(number: 9), position: 0, rows: 2),
        ]
        let all = 0..<fixture.blocks
        return [
            Request(.middle(blocks: all, segments: segments), rows(n, 1)),
            Request(.middle(blocks: all, segments: both), rows(3, 2)),
            Request(
                .linear(layer: 1, site: .queryKeyValue, slot: connection == 2 ? nil : slot, exact: false),
                rows(n, 3)),
            connection == 2
                ? Request(.stats)
                : Request(
                    .unlock(slot: slot, layer: 1, position: n),
                    permutation: [UInt32](0..<UInt32(n)).reversed()),
            Request(.feedForward(layer: 0), rows(n, 4)),
            Request(
                .headTopK(count: connection == 1 ? fixture.configuration.vocabularySize : n), rows(n, 5)),
            Request(
                .middle(blocks: 1..<2, segments: [Segment(slot: slot, position: 1, rows: 1)]), rows(1, 6)),
        ]
    }

    @Test(
        "connections that share products get what each gets alone",
        arguments: ["llama-gqa2", "qwen3", "qwen2"],
        [WeightFormat.f32, .bf16, .int8])
    func equal(_ name: String, _ format: WeightFormat) throws {
        let alone = try WorkerFixture(name, format: format)
        let together = try WorkerFixture(name, format: format)
        let connections: [UInt64] = [1, 2, 3]
        let requests = connections.map { Self.requests(alone, $0) }
        for step in requests[0].indices {
            let expected = try zip(connections, requests).map {
                try alone.worker.answer($0.1[step], connection: $0.0)
            }
            let answers = together.worker.answer(
                batch: zip(connections, requests).map { ($0.0, $0.1[step]) })
            for (answer, expected) in zip(answers, expected) {
                switch (try answer.get(), expected) {
                case (.tensor(let a), .tensor(let b)): #expect(distance(a.values, b.values) < 1e-6)
                case (.topK(let a), .topK(let b)):
                    #expect(a.joined().map { $0.token } == b.joined().map { $0.token })
                    #expect(distance(a.joined().map { $0.logit }, b.joined().map { $0.logit }) < 1e-6)
                case (.statistics, .statistics): break
                case (let a, let b): #expect(a == b)
                }
            }
        }
        let statistics = (alone.worker.statistics, together.worker.statistics)
        #expect(statistics.0.batches == 18 && statistics.1.batches == 6)
        #expect(statistics.0.requests == 21 && statistics.1.requests == 21)
        #expect(statistics.0.rows == statistics.1.rows && statistics.0.slotBytes == statistics.1.slotBytes)
    }

    @Test("exact products and others share no batch")
    func exact() throws {
        let fixture = try WorkerFixture()
        let rows = fixture.rows(noise(fixture.hidden, seed: 1), fixture.hidden)
        let answers = fixture.worker.answer(
            batch: [false, true, false, true].enumerated().map { connection, exact in
                let operation = Request.Operation.linear(
                    layer: 0, site: .queryKeyValue, slot: nil, exact: exact)
                return (UInt64(connection), Request(operation, rows))
            })
        #expect(answers.allSatisfy { (try? $0.get()) != nil })
        #expect(fixture.worker.statistics.batches == 2)
    }

    @Test("a refused request leaves the others of its batch alone")
    func refused() throws {
        let fixture = try WorkerFixture()
        let good = Self.requests(fixture, 1)[0]
        let bad = Request(good.operation, fixture.rows(noise(4 * fixture.hidden, seed: 1), fixture.hidden))
        let answers = fixture.worker.answer(batch: [(1, bad), (2, good), (3, Request(.stats)), (4, bad)])
        #expect(throws: LinkError.self) { try answers[0].get() }
        #expect(throws: LinkError.self) { try answers[3].get() }
        #expect(try answers[1].get() == Self.expected(good))
        #expect(fixture.worker.statistics.slots == 1)
        #expect(fixture.worker.answer(batch: []).isEmpty)
    }

    private static func expected(_ request: Request) throws -> Answer {
        try WorkerFixture().worker.answer(request)
    }

    @Test("a number means another slot on another connection")
    func namespaces() throws {
        let fixture = try WorkerFixture()
        let input = noise(3 * fixture.hidden, seed: 1)
        _ = try fixture.middle(input, connection: 1)
        #expect(throws: LinkError.self) { try fixture.middle(input, position: 3, connection: 2) }
        _ = try fixture.middle(input, connection: 2)
        _ = try fixture.worker.answer(Request(.release(slot: Slot(number: 1))), connection: 2)
        _ = try fixture.middle(input, position: 3, connection: 1)
        #expect(fixture.worker.statistics.slots == 1)
    }

    @Test("what is not a number goes through as such")
    func notNumbers() throws {
        let fixture = try WorkerFixture()
        let clean = noise(2 * fixture.hidden, seed: 1)
        let nan = [Float](repeating: .nan, count: 2 * fixture.hidden)
        let answers = fixture.worker.answer(
            batch: [(1 as UInt64, nan), (2, clean)].map {
                let operation = Request.Operation.middle(
                    blocks: 0..<fixture.blocks,
                    segments: [Segment(slot: Slot(number: 1), position: 0, rows: 2)])
                return ($0.0, Request(operation, fixture.rows($0.1, fixture.hidden)))
            })
        guard case .tensor(let spoiled) = try answers[0].get(), case .tensor(let other) = try answers[1].get()
        else {
            Issue.record("not tensors")
            return
        }
        #expect(spoiled.values.allSatisfy { $0.isNaN })
        #expect(distance(other.values, try fixture.middle(clean, connection: 3)) < 1e-6)
        #expect(throws: LinkError.self) {
            try fixture.worker.answer(Request(.headTopK(count: 3), fixture.rows(nan, fixture.hidden)))
        }
    }
}

import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("limits of the worker")
struct WorkerLimitsTests {
    static let slot = Slot(number: 1)

    /// A session of every kind of memory: a cache, rows to unlock, encoded keys, a locked tail.
    private func fill(_ fixture: WorkerFixture, connection: UInt64 = 0) throws {
        _ = try fixture.middle(noise(3 * fixture.hidden, seed: 1), connection: connection)
        _ = try fixture.tensor(
            .linear(layer: 0, site: .queryKeyValue, slot: Self.slot, exact: false),
            noise(5 * fixture.hidden, seed: 2),
            connection: connection)
        let attention = fixture.queryWidth + 4 * fixture.keyWidth
        _ = try fixture.tensor(
            .attention(layer: 0, parts: [AttentionPart(slot: Self.slot, queries: 1, keys: 2)]),
            noise(attention, seed: 3),
            channels: attention, connection: connection)
        _ = try fixture.worker.answer(
            Request(
                .lockTail(slot: Self.slot, layer: 1),
                fixture.rows(noise(4 * fixture.keyWidth, seed: 4), fixture.keyWidth)), connection: connection)
    }

    @Test("numbers that do not fit are refused and change nothing")
    func hostile() throws {
        let fixture = try WorkerFixture()
        try fill(fixture)
        let before = fixture.worker.statistics
        let (hidden, key, blocks) = (fixture.hidden, fixture.keyWidth, fixture.blocks)
        let query = fixture.queryWidth
        let (none, slot) = (Slot(number: 77), Self.slot)
        func middle(_ segments: [(Slot, Int, Int)], rows: Int = 2, blocks: Range<Int> = 0..<2) -> Request {
            Request(
                .middle(
                    blocks: blocks, segments: segments.map { Segment(slot: $0.0, position: $0.1, rows: $0.2) }
                ),
                fixture.rows(noise(rows * hidden, seed: 5), hidden))
        }
        func attention(
            _ layer: Int, _ slot: Slot?, _ position: Int, _ queries: Int, _ keys: Int, _ count: Int
        )
            -> Request
        {
            Request(
                .attention(
                    layer: layer,
                    parts: [AttentionPart(slot: slot, position: position, queries: queries, keys: keys)]),
                fixture.rows(noise(count, seed: 6), count))
        }
        func rows(_ operation: Request.Operation, _ rows: Int, _ channels: Int) -> Request {
            Request(operation, fixture.rows(noise(rows * channels, seed: 7), channels))
        }
        func tail(
            _ layer: Int, _ segments: [(Slot, Int, Int)], rows count: Int? = nil, _ channels: Int? = nil
        )
            -> Request
        {
            rows(
                .tailScores(
                    layer: layer,
                    segments: segments.map { Segment(slot: $0.0, position: $0.1, rows: $0.2) }),
                count ?? segments.count, channels ?? hidden)
        }
        func attentions(_ parts: [AttentionPart], _ counts: [Int]) -> Request {
            Request(
                .attention(layer: 0, parts: parts),
                EncodedTensor(joining: counts.map { fixture.rows(noise($0, seed: 6), $0) }))
        }
        let length = fixture.configuration.maximumLength
        let vocabulary = fixture.configuration.vocabularySize
        let one = query + 2 * key
        var requests = [
            middle([]), middle([(slot, 0, 0), (none, 0, 2)]), middle([(slot, 0, 1)]), middle([(slot, 0, 3)]),
            middle([(slot, 0, -1), (none, 0, 3)]), middle([(slot, 0, .max), (none, 0, .max)]),
            middle([(slot, 0, .max), (none, 0, 4 - .max)]), middle([(slot, 4, 2)]), middle([(none, 1, 2)]),
            middle([(slot, -1, 2)]), middle([(slot, .max, 2)]), middle([(slot, .min, 2)]),
            middle([(slot, length - 1, 2)]), middle([(slot, 0, 1), (slot, 1, 1)]),
            middle([(none, 0, length + 1)], rows: length + 1),
            middle([(slot, 0, 2)], blocks: 0..<blocks + 1), middle([(slot, 0, 2)], blocks: -1..<1),
            middle([(slot, 0, 2)], blocks: 1..<1), middle([(slot, 0, 2)], blocks: 0..<Int.max),
            rows(
                .middle(blocks: 0..<1, segments: [Segment(slot: slot, position: 0, rows: 2)]), 2, hidden + 1),
            rows(.headTopK(count: 0), 1, hidden), rows(.headTopK(count: -1), 1, hidden),
            rows(.headTopK(count: vocabulary + 1), 1, hidden), rows(.headTopK(count: .max), 1, hidden),
            rows(.headTopK(count: 1), 1, 1),
            rows(.linear(layer: blocks, site: .queryKeyValue, slot: nil, exact: false), 1, hidden),
            rows(.linear(layer: -1, site: .queryKeyValue, slot: nil, exact: false), 1, hidden),
            rows(.linear(layer: .max, site: .output, slot: nil, exact: false), 1, query),
            rows(.linear(layer: 0, site: .output, slot: slot, exact: false), 1, query),
            rows(.linear(layer: 0, site: .head, slot: slot, exact: false), 1, hidden),
            rows(.linear(layer: 1, site: .head, slot: nil, exact: false), 1, hidden),
            rows(.linear(layer: 0, site: .down, slot: nil, exact: false), 1, hidden),
            rows(.feedForward(layer: blocks), 1, hidden), rows(.feedForward(layer: .min), 1, hidden),
            rows(.feedForward(layer: 0), 1, hidden - 1),
            attention(blocks, nil, 0, 1, 1, one), attention(-1, nil, 0, 1, 1, one),
            attention(0, nil, 1, 1, 1, one), attention(0, slot, 3, 1, 1, one),
            attention(0, none, 1, 1, 1, one),
            attention(0, slot, -1, 1, 1, one), attention(0, slot, .max, 1, 1, one),
            attention(0, slot, 2, 0, 1, 2 * key), attention(0, nil, 0, 2, 1, 2 * query + 2 * key),
            attention(0, slot, 0, .max, .max, one), attention(0, slot, 2, 1, .max, one),
            attention(0, slot, 2, .min, .min, one), attention(0, nil, 0, 1, length + 1, one),
            attention(0, slot, 2, 1, 1, one - 1), attention(0, slot, 0, 1, 0, query),
            attention(0, slot, 2, 2, -1, 2 * query - 2 * key),
            rows(.attention(layer: 0, parts: [AttentionPart(queries: 2, keys: 2)]), 2, one),
            rows(.lockTail(slot: slot, layer: blocks), 1, key),
            rows(.lockTail(slot: none, layer: 0), 1, key + 1),
            rows(.lockTail(slot: none, layer: -1), 1, key),
            tail(0, [(slot, 1, 1)]), tail(1, [(none, 1, 1)]), tail(blocks, [(slot, 1, 1)]),
            tail(-1, [(slot, 1, 1)]), tail(1, [(slot, -1, 1)]), tail(1, [(slot, length, 1)]),
            tail(1, [(slot, .max, 1)]), tail(1, [(slot, 1, 1)], rows: 2), tail(1, [(slot, 1, 2)], rows: 2),
            tail(1, [(slot, 1, 1)], hidden + 1), tail(1, [], rows: 1), tail(1, [(slot, 1, 0)]),
            // The first would do, the second not.
            tail(1, [(slot, 4, 1), (none, 1, 1)]), tail(1, [(slot, 4, 1), (slot, 5, 1)]),
            tail(1, [(slot, 4, 1), (slot, length, 1)]), tail(1, [(slot, 4, 1), (none, 1, .max)]),
            attentions(
                [
                    AttentionPart(slot: slot, position: 2, queries: 1, keys: 1),
                    AttentionPart(position: 1, queries: 1, keys: 1),
                ], [one, one]),
            attentions(
                [
                    AttentionPart(slot: slot, position: 0, queries: 1, keys: 1),
                    AttentionPart(slot: slot, position: 1, queries: 1, keys: 1),
                ], [one, one]),
            attentions(
                [
                    AttentionPart(slot: slot, position: 0, queries: 1, keys: 1),
                    AttentionPart(slot: none, queries: 1, keys: 2),
                ], [one, one]),
            attentions(
                [
                    AttentionPart(slot: slot, position: 0, queries: 1, keys: 1),
                    AttentionPart(queries: .max, keys: .max),
                ], [one, one]),
        ]
        for permutation: [UInt32] in [[5], [0, 1, .max], [UInt32](repeating: 0, count: length - 2)] {
            requests.append(Request(.unlock(slot: slot, layer: 0, position: 3), permutation: permutation))
        }
        for position in [4, -1, .max, .min] {
            requests.append(Request(.unlock(slot: slot, layer: 0, position: position), permutation: [0]))
        }
        for (slot, layer) in [(slot, 1), (none, 0), (slot, -1), (slot, blocks), (slot, .max)] {
            requests.append(Request(.unlock(slot: slot, layer: layer, position: 0), permutation: [0]))
        }
        for operation: Request.Operation in [
            .linear(layer: 0, site: .queryKeyValue, slot: nil, exact: false), .feedForward(layer: 0),
            .headTopK(count: 1),
            .attention(layer: 0, parts: [AttentionPart(queries: 1, keys: 1)]),
            .unlock(slot: slot, layer: 0, position: 0), .lockTail(slot: slot, layer: 0),
            .tailScores(layer: 1, segments: [Segment(slot: slot, position: 0, rows: 1)]),
        ] { requests.append(Request(operation)) }

        for request in requests {
            #expect("\(request.operation)") {
                _ = try fixture.worker.answer(request)
            } throws: { error in
                if case .invalidRequest? = error as? LinkError { true } else { false }
            }
        }
        let after = fixture.worker.statistics
        #expect(after.slots == before.slots && after.slotBytes == before.slotBytes)
        // And everything that was held still serves.
        _ = try fixture.middle(noise(fixture.hidden, seed: 8), position: 3)
        _ = try fixture.worker.answer(tail(1, [(slot, 4, 1)]))
        _ = try fixture.worker.answer(attention(0, slot, 2, 1, 1, one))
        #expect(
            try fixture.worker.answer(
                Request(.unlock(slot: slot, layer: 0, position: 3), permutation: [4, 0, 4])) == .done)
    }

    @Test("releasing gives all memory back")
    func release() throws {
        let fixture = try WorkerFixture()
        #expect(fixture.worker.statistics.slotBytes == 0)
        try fill(fixture, connection: 5)
        let one = fixture.worker.statistics.slotBytes
        try fill(fixture, connection: 6)
        // Arrays have the room that the allocator gives them, which is not always the same.
        #expect(one > 0 && abs(fixture.worker.statistics.slotBytes - 2 * one) <= 64)
        _ = try fixture.worker.answer(Request(.release(slot: Self.slot)), connection: 6)
        #expect(fixture.worker.statistics.slotBytes == one)
        fixture.worker.release(connection: 6)
        fixture.worker.release(connection: 5)
        #expect(fixture.worker.statistics.slotBytes == 0 && fixture.worker.statistics.slots == 0)
    }

    @Test("unlocking frees the rows, cutting frees the pages")
    func shrink() throws {
        let fixture = try WorkerFixture()
        _ = try fixture.middle(noise(2 * fixture.hidden, seed: 1))
        let small = fixture.worker.statistics.slotBytes
        _ = try fixture.middle(noise(70 * fixture.hidden, seed: 1))
        #expect(fixture.worker.statistics.slotBytes == 2 * small)
        _ = try fixture.tensor(
            .linear(layer: 0, site: .queryKeyValue, slot: Self.slot, exact: false),
            noise(5 * fixture.hidden, seed: 2))
        #expect(fixture.worker.statistics.slotBytes > 2 * small)
        _ = try fixture.worker.answer(
            Request(.unlock(slot: Self.slot, layer: 0, position: 70), permutation: [0]))
        #expect(fixture.worker.statistics.slotBytes == 2 * small)
        _ = try fixture.middle(noise(2 * fixture.hidden, seed: 1))
        #expect(fixture.worker.statistics.slotBytes == small)
    }

    @Test("a worker that is full says so and serves the rest")
    func full() throws {
        func isFull(_ body: () throws -> Void) -> Bool {
            do { try body() } catch {
                if case .workerFull? = error as? LinkError { return true }
            }
            return false
        }
        var limits = Worker.Limits()
        limits.slots = 2
        let few = try WorkerFixture(limits: limits)
        for connection: UInt64 in 1...2 { try fill(few, connection: connection) }
        #expect(isFull { _ = try few.middle(noise(few.hidden, seed: 1), connection: 3) })
        #expect(isFull { try fill(few, connection: 3) })
        #expect(few.worker.statistics.slots == 2)
        few.worker.release(connection: 1)
        try fill(few, connection: 3)

        let reference = try WorkerFixture()
        try fill(reference)
        // An allocation of the same size may have 16 bytes more here than there; the least asked below is 64.
        limits.slotBytes = reference.worker.statistics.slotBytes + 16
        let small = try WorkerFixture(limits: limits)
        try fill(small)
        let (hidden, key, query) = (small.hidden, small.keyWidth, small.queryWidth)
        let more: [Request] = [
            Request(
                .middle(blocks: 0..<2, segments: [Segment(slot: Self.slot, position: 3, rows: 70)]),
                small.rows(noise(70 * hidden, seed: 1), hidden)),
            Request(
                .linear(layer: 1, site: .queryKeyValue, slot: Self.slot, exact: false),
                small.rows(noise(hidden, seed: 1), hidden)),
            Request(
                .attention(layer: 1, parts: [AttentionPart(slot: Self.slot, queries: 1, keys: 1)]),
                small.rows(noise(query + 2 * key, seed: 1), query + 2 * key)),
            Request(.lockTail(slot: Self.slot, layer: 0), small.rows(noise(key, seed: 1), key)),
            Request(
                .tailScores(layer: 1, segments: [Segment(slot: Self.slot, position: 4, rows: 1)]),
                small.rows(noise(hidden, seed: 1), hidden)),
        ]
        let before = small.worker.statistics
        for request in more { #expect(isFull { _ = try small.worker.answer(request) }, "\(request.kind)") }
        let answers = small.worker.answer(batch: (1...3).map { ($0, more[0]) })
        #expect(answers.allSatisfy { answer in (try? answer.get()) == nil })
        #expect(small.worker.statistics.slotBytes == before.slotBytes)
        _ = try small.middle(noise(hidden, seed: 8), position: 3)
    }

    @Test("answers are limited too")
    func answers() throws {
        var limits = Worker.Limits()
        let fixture = try WorkerFixture()
        limits.answerBytes = 4 * fixture.configuration.vocabularySize * 2
        let small = try WorkerFixture(limits: limits)
        let rows = noise(3 * small.hidden, seed: 1)
        let all = Request.Operation.headTopK(count: small.configuration.vocabularySize)
        #expect(throws: LinkError.self) { try small.tensor(all, rows) }
        #expect(try small.tensor(all, Array(rows.prefix(2 * small.hidden))).count > 0)
        // Many rows of few logits, in several products.
        let many = noise(600 * small.hidden, seed: 1)
        let answer = try fixture.worker.answer(
            Request(.headTopK(count: 2), fixture.rows(many, fixture.hidden)))
        guard case .topK(let largest) = answer else {
            Issue.record("not the largest")
            return
        }
        let logits = try fixture.tensor(all, Array(many.suffix(fixture.hidden)))
        #expect(largest.count == 600 && argmax(logits.span) == largest.last?.first.map { Int($0.token) })
    }
}

import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("exchanges that several sessions share")
struct SharedExchangeTests {
    @Test("parts of several sessions are answered as each by itself", arguments: TensorPrecision.allCases)
    func parts(_ precision: TensorPrecision) throws {
        let (fixture, alone) = (try WorkerFixture(), try WorkerFixture())
        let shapes = [(nil, 1, 5), (Slot(number: 4), 2, 3), (nil, 3, 3), (Slot(number: 5), 1, 1)]
        for position in 0..<2 {
            let parts = shapes.map { slot, queries, keys in
                AttentionPart(
                    slot: slot, position: slot == nil ? 0 : position, queries: queries, keys: keys)
            }
            let tensors = parts.enumerated().map { i, part in
                let count = part.queries * fixture.queryWidth + part.keys * 2 * fixture.keyWidth
                return EncodedTensor(
                    encodedRows: 1, channels: count, values: noise(count, seed: UInt64(9 * position + i)),
                    // One part of those in groups is not.
                    precision: i == 2 ? .float32 : precision, exactPrefix: i == 2 ? 0 : fixture.queryWidth)
            }
            let request = Request(.attention(layer: 1, parts: parts), EncodedTensor(joining: tensors))
            let message = request.message(number: 1)
            guard case .tensor(let answer) = try fixture.worker.answer(Request(message)) else {
                Issue.record("not a tensor")
                return
            }
            var expected: [Float] = []
            for (part, tensor) in zip(parts, tensors) {
                expected += try alone.tensor(
                    .attention(layer: 1, parts: [part]), tensor.values, channels: tensor.channels)
            }
            #expect(answer.rows == 1 && answer.values == expected)
        }
        #expect(fixture.worker.statistics.batches == 2)
        #expect(fixture.worker.statistics.slotBytes == alone.worker.statistics.slotBytes)
    }

    @Test("scores of several tails are those of each by itself, by one product")
    func tails() throws {
        let (fixture, alone) = (try WorkerFixture(), try WorkerFixture())
        let (hidden, key) = (fixture.hidden, fixture.keyWidth)
        let lengths = [3, 1, 70, 64]
        for (i, length) in lengths.enumerated() {
            let keys = fixture.rows(noise(length * key, seed: UInt64(i)), key)
            for worker in [fixture.worker, alone.worker] {
                _ = try worker.answer(
                    Request(.lockTail(slot: Slot(number: UInt32(i)), layer: 1), keys))
            }
        }
        for step in 0..<3 {
            let segments = lengths.enumerated().map {
                Segment(slot: Slot(number: UInt32($0.offset)), position: $0.element + step, rows: 1)
            }
            let input = noise(lengths.count * hidden, seed: UInt64(20 + step))
            let batches = fixture.worker.statistics.batches
            let found = try fixture.tensor(.tailScores(layer: 1, segments: segments), input)
            #expect(fixture.worker.statistics.batches == batches + 1)
            var expected: [Float] = []
            for (row, segment) in segments.enumerated() {
                expected += try alone.tensor(
                    .tailScores(layer: 1, segments: [segment]),
                    Array(input[row * hidden..<(row + 1) * hidden]))
            }
            #expect(distance(found, expected) < 1e-5)
        }
    }
}

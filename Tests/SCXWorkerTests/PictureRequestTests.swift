import Foundation
import SCXInference
import SCXLink
import SCXWorker
import Testing

@Suite("worker: requests of encoders of pictures")
struct PictureRequestTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .appending(path: "Fixtures/vision").path
    private static let slot = Slot(number: 4)

    private let decoder: Decoder
    private let worker: Worker
    /// Of the encoder; the decoder has another number.
    private let hidden: Int
    private let rows: Int
    private let tower: Range<Int>

    init() throws {
        let checkpoint = try Checkpoint(directory: Self.folder + "/llava-published-names")
        decoder = try Decoder(checkpoint, format: .f32, pool: WorkerFixture.pool)
        worker = Worker(model: decoder)
        let vision = try #require(decoder.configuration.vision)
        (hidden, rows, tower) = (vision.encoder.hiddenSize, vision.rows, decoder.configuration.towerBlocks)
        try #require(hidden != decoder.configuration.hiddenSize)
    }

    private func request(_ operation: Request.Operation, _ rows: Int, _ channels: Int) -> Request {
        Request(
            operation,
            EncodedTensor(encodedRows: rows, channels: channels, values: noise(rows * channels, seed: 3)))
    }

    private func middle(
        _ blocks: Range<Int>, _ pictures: [Int], position: Int = 0, channels: Int? = nil
    ) -> Request {
        request(
            .middle(
                blocks: blocks,
                segments: pictures.enumerated().map {
                    Segment(slot: Slot(number: UInt32($0)), position: position, rows: $1)
                }), pictures.reduce(0, +), channels ?? hidden)
    }

    @Test("two pictures at once are computed as each alone, and nothing is kept of them")
    func together() throws {
        func values(_ request: Request) throws -> [Float] {
            guard case .tensor(let tensor) = try worker.answer(request) else { return [] }
            return tensor.values
        }
        let together = try values(middle(tower, [rows, rows]))
        #expect(together.count == 2 * rows * hidden && together.allSatisfy { $0.isFinite })
        // The first picture's rows are the same numbers.
        let alone = try values(middle(tower, [rows]))
        #expect(Array(together.prefix(alone.count)) == alone)
        #expect(worker.statistics.slots == 0)
    }

    @Test("requests that do not fit the encoder are refused and change nothing")
    func hostile() throws {
        let configuration = decoder.configuration
        let blocks = configuration.blockCount
        let requests = [
            middle(tower.lowerBound - 1..<tower.upperBound, [rows]),
            middle(0..<tower.upperBound, [rows], channels: configuration.hiddenSize),
            middle(tower.lowerBound..<tower.upperBound + 1, [rows]),
            middle(tower.upperBound..<tower.upperBound + 1, [rows]),
            middle(tower, [rows + 1]), middle(tower, [rows], position: 1),
            middle(tower, [rows], channels: configuration.hiddenSize),
            request(.middle(blocks: tower, segments: []), rows, hidden),
            request(
                .middle(blocks: tower, segments: [Segment(slot: Self.slot, position: 0, rows: 1)]), rows,
                hidden),
            request(.feedForward(layer: blocks), 1, hidden),
            request(.linear(layer: blocks, site: .queryKeyValue, slot: Self.slot, exact: false), 1, hidden),
            request(.linear(layer: tower.upperBound, site: .output, slot: nil, exact: false), 1, hidden),
            request(.linear(layer: blocks, site: .expertDown, slot: nil, exact: false), 1, hidden),
            request(
                .attention(layer: blocks, parts: [AttentionPart(queries: 1, keys: 1)]), 1, 3 * hidden),
            request(.lockTail(slot: Self.slot, layer: blocks), 1, hidden),
        ]
        for request in requests {
            let error = #expect(throws: LinkError.self) { try worker.answer(request) }
            if case .invalidRequest? = error {} else { Issue.record("\(request.operation): \(error as Any)") }
        }
        #expect(worker.statistics.slots == 0)
    }
}

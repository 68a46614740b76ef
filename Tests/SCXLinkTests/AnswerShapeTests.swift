import SCXInference
import SCXLink
import Testing

@Suite("the shape of an answer")
struct AnswerShapeTests {
    static let slots = (0..<3).map { Slot(number: $0) }

    /// A request of each kind, with the only head that its answer may have, for a worker with this part.
    static func requests(_ shard: Shard) -> [(Request, ElementCode, rows: Int, channels: Int)] {
        let rows = EncodedTensor(encodedRows: 3, channels: 4, values: [Float](repeating: 1, count: 12))
        let ring = RingTensor(paddedRows: 3, channels: 4, values: [UInt32](repeating: 1, count: 12))
        let row = EncodedTensor(encodedRows: 1, channels: 2, values: [1, 2])
        let parts = [2, 5, 1].map { AttentionPart(queries: $0, keys: 9) }
        let segments = slots.map { Segment(slot: $0, position: 10, rows: 1) }
        let widths: [(Site, Int)] = [
            (.queryKeyValue, 8), (.output, 4), (.gateUp, 6), (.down, 4), (.head, 16),
        ]
        return widths.flatMap { site, width -> [(Request, ElementCode, rows: Int, channels: Int)] in
            let part = shard.range(of: width).count
            let pads = Request.Operation.padProducts(
                layer: 0, site: site, seed: LinkSamples.seed, first: 9, rows: 5)
            return [
                (Request(.linear(layer: 0, site: site, slot: nil, exact: false), rows), .float32, 3, width),
                // Each number of an exact product is two words.
                (Request(.linear(layer: 0, site: site, slot: nil, exact: true), rows), .uint32, 3, 2 * width),
                (Request(.linearRing(layer: 0, site: site), ring), .uint32, 3, part),
                (Request(pads), .uint32, 5, part),
            ]
        } + [
            // Queries of 2 heads of 2 channels.
            (
                Request(.attention(layer: 0, parts: parts), EncodedTensor(joining: [row, row, row])),
                .float32,
                1, 8 * 4
            ),
            (Request(.feedForward(layer: 0), rows), .float32, 3, 4),
            (Request(.middle(blocks: 0..<2, segments: segments), rows), .float32, 3, 4),
            (Request(.headTopK(count: 5), rows), .uint32, 3, 10),
            (Request(.headTopK(count: 16), rows), .float32, 3, 16),
            (Request(.lockTail(slot: slots[0], layer: 0), rows), .none, 0, 0),
            // For each session a key and a value of 2 channels; the first session has 2 locked keys, for 2 heads.
            (Request(.tailScores(layer: 0, segments: segments), rows), .float32, 1, 3 * 4 + 2 * 2),
            (Request(.unlock(slot: slots[0], layer: 0, position: 0), permutation: [0]), .none, 0, 0),
            (Request(.release(slot: slots[0])), .none, 0, 0),
            (Request(.stats), .none, 0, 0),
        ]
    }

    /// A client of a worker that holds a part of each site, after the hellos.
    static func client(_ shard: Shard) throws -> ClientProtocol {
        var hello = LinkSamples.workerHello
        hello.shard = shard
        var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
        var worker = WorkerProtocol(hello: hello, largestTensor: 1024)
        guard case .send(let welcome) = try worker.receive(client.hello()) else {
            throw LinkError.disconnected("no hello")
        }
        _ = try client.receiveHello(welcome)
        return client
    }

    /// What a client makes of a head, after which the stream ends: an error of the stream means that it went on to
    /// take memory and to read.
    static func error(_ head: FrameHead, _ client: ClientProtocol) -> LinkError? {
        var client = client
        do throws(LinkError) {
            _ = try MessageStream(MemoryStream(head.bytes)).receive(before: .never) {
                head throws(LinkError) in try client.begin(head)
            }
            return nil
        } catch { return error }
    }

    @Test("is known for each kind of request, and any other is refused by its head", arguments: [1, 3])
    func everyKind(parts: Int) throws {
        let shard = try #require(Shard(index: parts - 1, of: parts))
        var kinds: Set<MessageKind> = []
        for (request, elements, rows, channels) in Self.requests(shard) {
            var client = try Self.client(shard)
            if request.kind == .tailScores { try Self.lock(&client) }
            let message = try client.ask(request)
            kinds.insert(request.kind)
            var right = FrameHead(kind: request.kind, isAnswer: true, number: message.head.number)
            (right.elements, right.rows, right.channels) = (elements, rows, channels)
            if request.kind == .stats { (right.fieldBytes, right.payloadBytes) = (48, 48) }
            let accepted = Self.error(right, client)
            if case .unexpectedAnswer(let reason)? = accepted { Issue.record("\(request.kind): \(reason)") }

            var wrong: [FrameHead] = []
            for (rows, channels) in [
                (rows + 1, channels), (rows, channels + 1), (1, 1 << 29), (1 << 29, 1), (1 << 14, 1 << 15),
                (rows - 1, channels), (rows, channels - 1), (channels, rows),
            ] where (rows, channels) != (right.rows, right.channels) && rows >= 0 && channels >= 0 {
                for elements in [ElementCode.float32, .uint32] where rows * channels > 0 {
                    var head = right
                    (head.elements, head.rows, head.channels) = (elements, rows, channels)
                    wrong.append(head)
                }
            }
            for elements in [ElementCode.float32, .uint32] where elements != right.elements {
                var head = right
                head.elements = elements
                if rows * channels > 0 { wrong.append(head) }
            }
            var head = right
            (head.fieldBytes, head.payloadBytes) = (right.fieldBytes + 1, right.fieldBytes + 1)
            wrong.append(head)
            (head.fieldBytes, head.payloadBytes) = (FrameHead.payloadLimit, FrameHead.payloadLimit)
            wrong.append(head)
            head = right
            head.kind = request.kind == .release ? .unlock : .release
            wrong.append(head)
            for head in wrong {
                let error = Self.error(head, client)
                guard case .unexpectedAnswer? = error else {
                    Issue.record("\(request.kind), \(head): \(error.map { "\($0)" } ?? "accepted")")
                    continue
                }
            }
        }
        #expect(kinds == Set(MessageKind.allCases).subtracting([.hello, .failure, .more]))
    }

    /// Locks one key in the first slot, and has that answered.
    static func lock(_ client: inout ClientProtocol) throws {
        let rows = EncodedTensor(encodedRows: 1, channels: 2, values: [1, 2])
        let message = try client.ask(Request(.lockTail(slot: slots[0], layer: 0), rows))
        _ = try client.receive(Answer.done.message(to: .lockTail, number: message.head.number))
    }

    @Test("of scores follows the keys that are locked, also where the worker refuses")
    func tails() throws {
        var client = try Self.client(.whole)
        func lock(_ slot: Int, _ count: Int) throws(LinkError) -> UInt64 {
            let rows = EncodedTensor(
                encodedRows: count, channels: 2, values: [Float](repeating: 0, count: 2 * count))
            return try client.ask(Request(.lockTail(slot: Self.slots[slot], layer: 3), rows)).head.number
        }
        func done(_ number: UInt64, _ kind: MessageKind = .lockTail) throws(LinkError) {
            _ = try client.receive(Answer.done.message(to: kind, number: number))
        }
        func refuse(_ number: UInt64) {
            let worker = WorkerProtocol(hello: LinkSamples.workerHello, largestTensor: 1024)
            var failure = worker.failure(.workerFull("x"))
            failure.head.number = number
            #expect(throws: LinkError.workerFull("x")) { _ = try client.receive(failure) }
        }
        /// Asks for scores of the first slots, and expects as many in all for each of the 2 heads.
        func scores(_ slots: Int, _ keys: Int) throws -> UInt64 {
            let rows = EncodedTensor(
                encodedRows: slots, channels: 4, values: [Float](repeating: 0, count: 4 * slots))
            let segments = Self.slots.prefix(slots).map { Segment(slot: $0, position: 5, rows: 1) }
            let number = try client.ask(Request(.tailScores(layer: 3, segments: segments), rows)).head.number
            var head = FrameHead(kind: .tailScores, isAnswer: true, number: number)
            (head.elements, head.rows) = (.float32, 1)
            for excess in [0, 1] {
                head.channels = 4 * slots + 2 * (keys + excess)
                let error = Self.error(head, client)
                guard case .unexpectedAnswer? = error else {
                    #expect(excess == 0)
                    continue
                }
                #expect(excess == 1)
            }
            return number
        }
        try done(lock(0, 10))
        refuse(try scores(1, 11))
        refuse(try lock(0, 3))
        _ = try scores(1, 11)
        _ = try scores(1, 12)
        try done(lock(1, 2))
        _ = try scores(2, 13 + 3)
        try done(lock(0, 1))
        _ = try scores(1, 2)
        try done(client.ask(Request(.release(slot: Self.slots[1]))).head.number, .release)
        _ = try scores(2, 3)
    }
}

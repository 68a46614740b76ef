import SCXInference
import SCXLink

/// A small generator of numbers that are the same in every run.
struct Chance: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Requests and answers of every kind, with fields at random.
enum LinkSamples {
    static func tensor(_ chance: inout Chance, rows: Int? = nil) -> EncodedTensor {
        let rows = rows ?? Int.random(in: 1...5, using: &chance)
        let channels = Int.random(in: 1...7, using: &chance)
        // Finite: a comparison of messages is one of numbers.
        let values = (0..<rows * channels).map { _ in Float.random(in: -1e9...1e9, using: &chance) }
        return EncodedTensor(encodedRows: rows, channels: channels, values: values)
    }

    /// The bytes 0 to 31.
    static let seed = PadSeed(bytes: Array(0..<32))

    static func ring(_ chance: inout Chance) -> RingTensor {
        let (rows, channels) = (Int.random(in: 1...5, using: &chance), Int.random(in: 1...7, using: &chance))
        let values = (0..<rows * channels).map { _ in UInt32.random(in: 0...(.max), using: &chance) }
        return RingTensor(paddedRows: rows, channels: channels, values: values)
    }

    /// A row in groups, with some values before them that are not.
    static func grouped(_ chance: inout Chance, _ precision: TensorPrecision, count: Int) -> EncodedTensor {
        let values = (0..<count).map { _ in Float.random(in: -99...99, using: &chance) }
        return EncodedTensor(
            encodedRows: 1, channels: count, values: values, precision: precision,
            exactPrefix: Int.random(in: 0...count, using: &chance))
    }

    static func slot(_ chance: inout Chance) -> Slot {
        // The largest number stands for none.
        Slot(
            number: [0, 1, .max - 1, UInt32.random(in: 0..<(.max), using: &chance)].randomElement(
                using: &chance) ?? 0)
    }

    static func count(_ chance: inout Chance) -> Int {
        [0, 1, Int(UInt32.max), Int.random(in: 0...Int(UInt32.max), using: &chance)].randomElement(
            using: &chance) ?? 0
    }

    static func layer(_ chance: inout Chance) -> Int { Int(UInt16.random(in: 0...(.max), using: &chance)) }

    /// One request of each operation, with and without a slot where it is optional.
    static func requests(_ chance: inout Chance) -> [Request] {
        let optional = [nil, slot(&chance)]
        let segments = (0..<Int.random(in: 0...9, using: &chance)).map { _ in
            Segment(slot: slot(&chance), position: count(&chance), rows: count(&chance))
        }
        let first = Int.random(in: 0..<Int(UInt16.max), using: &chance)
        var operations: [Request.Operation] = Site.allCases.flatMap { site in
            optional.map { .linear(layer: 7, site: site, slot: $0, exact: $0 == nil) }
        }
        for slot in optional {
            operations.append(
                .attention(
                    layer: layer(&chance),
                    parts: [
                        AttentionPart(
                            slot: slot, position: count(&chance), queries: count(&chance),
                            keys: count(&chance))
                    ]))
        }
        operations += [
            .feedForward(layer: layer(&chance)), .headTopK(count: count(&chance)),
            .lockTail(slot: slot(&chance), layer: layer(&chance)),
            .middle(
                blocks: first..<Int.random(in: first + 1...Int(UInt16.max), using: &chance),
                segments: segments),
            .middle(
                blocks: first..<Int(UInt16.max),
                segments: segments.map {
                    Segment(
                        slot: $0.slot, position: $0.position, rows: $0.rows,
                        isMutual: Bool.random(using: &chance))
                }),
            .tailScores(layer: layer(&chance), segments: segments),
        ]
        let attention = Request.Operation.attention(
            layer: layer(&chance), parts: [AttentionPart(queries: 1, keys: count(&chance))])
        let inGroups = [TensorPrecision.int8, .int4].map {
            Request(attention, grouped(&chance, $0, count: Int.random(in: 1...150, using: &chance)))
        }
        let shapes = [nil, slot(&chance), nil].map {
            AttentionPart(slot: $0, position: count(&chance), queries: 1, keys: count(&chance))
        }
        let several = [TensorPrecision.float32, .int4].map { precision in
            Request(
                .attention(layer: 9, parts: shapes),
                EncodedTensor(
                    joining: [1, 100, 65].map {
                        grouped(&chance, $0 == 1 ? .float32 : precision, count: $0)
                    }))
        }
        let permutation = (0..<UInt32(Int.random(in: 1...20, using: &chance))).shuffled(using: &chance)
        let rings = Site.allCases.map {
            Request(.linearRing(layer: layer(&chance), site: $0), ring(&chance))
        }
        let pads = Site.allCases.map { site in
            let bytes = (0..<PadSeed.byteCount).map { _ in UInt8.random(in: 0...255, using: &chance) }
            return Request(
                .padProducts(
                    layer: layer(&chance), site: site, seed: PadSeed(bytes: bytes), first: count(&chance),
                    rows: Int.random(in: 1...PadSeed.rowLimit, using: &chance)))
        }
        return operations.map { Request($0, tensor(&chance)) } + inGroups + several + rings + pads + [
            Request(
                .unlock(slot: slot(&chance), layer: layer(&chance), position: count(&chance)),
                permutation: permutation),
            Request(.release(slot: slot(&chance))), Request(.stats),
        ]
    }

    /// An answer of each form, with a request that it fits.
    static func answers(_ chance: inout Chance) -> [(Request, Answer)] {
        let request = Request(.feedForward(layer: 1), tensor(&chance))
        let values = [Float](repeating: 0.5, count: 12)
        let (rows, count) = (Int.random(in: 1...4, using: &chance), Int.random(in: 1...6, using: &chance))
        let logits = (0..<rows).map { _ in
            (0..<count).map { _ in
                TokenLogit(
                    token: Int32.random(in: .min...(.max), using: &chance),
                    logit: Float.random(in: -99...99, using: &chance))
            }
        }
        var statistics = WorkerStatistics()
        (statistics.connections, statistics.slots, statistics.slotBytes) = (1, 2, .max)
        (statistics.requests, statistics.batches, statistics.rows) = (4, 5, Int(chance.next() >> 1))
        let rings = [
            Request(.linearRing(layer: 1, site: .gateUp), ring(&chance)),
            Request(.padProducts(layer: 1, site: .head, seed: seed, first: 0, rows: 4)),
        ].map { request in
            let values = (0..<12).map { _ in UInt32.random(in: 0...(.max), using: &chance) }
            return (request, Answer.ring(RingTensor(resultOf: request, channels: 3, values: values)))
        }
        let exact = Request(.linear(layer: 0, site: .queryKeyValue, slot: nil, exact: true), tensor(&chance))
        let doubles = (0..<6).map { Double.random(in: -1...1, using: &chance) * 0x1p40 + Double($0) }
        return rings + [
            (exact, .float64(Float64Tensor(resultOf: exact, channels: 3, values: doubles))),
            (request, .tensor(EncodedTensor(resultOf: request, channels: 4, values: values))),
            (Request(.headTopK(count: count), tensor(&chance, rows: rows)), .topK(logits)),
            (Request(.stats), .statistics(statistics)),
            (Request(.release(slot: slot(&chance))), .done),
            (Request(.unlock(slot: slot(&chance), layer: 0, position: 0), permutation: [1, 0]), .done),
            (Request(.lockTail(slot: slot(&chance), layer: 0), tensor(&chance)), .done),
        ]
    }

    /// A model of 4 hidden channels, 2 heads of 2 channels with one key head, and 16 tokens.
    static let model: DecoderConfiguration = {
        let text = """
            {"model_type": "llama", "vocab_size": 16, "hidden_size": 4, "num_hidden_layers": 30,
             "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2, "intermediate_size": 3}
            """
        do { return try DecoderConfiguration(json: JSON(parsing: text), path: "config.json") } catch {
            fatalError("LinkSamples: \(error)")
        }
    }()

    static let digest = "sha256:00112233445566778899aabbccddeeff"

    static var workerHello: Hello {
        var hello = Hello(digest: digest, weights: "int8")
        (hello.ring, hello.window) = (true, 300)
        hello.shard = Shard(index: 258, of: 772) ?? .whole
        return hello
    }

    /// What is said first, both ways.
    static func hellos() throws(LinkError) -> [Message] {
        var client = ClientProtocol(digest: digest, model: model)
        var worker = WorkerProtocol(hello: workerHello, largestTensor: 1024)
        let hello = client.hello()
        guard case .send(let answer) = try worker.receive(hello) else { return [] }
        return [hello, answer, worker.failure(.workerFull("no place for slot 3"))]
    }

    /// Messages of every kind, both ways.
    static func messages(seed: UInt64) throws(LinkError) -> [Message] {
        var chance = Chance(seed)
        var messages = try hellos()
        for request in requests(&chance) { messages.append(request.message(number: UInt64(messages.count))) }
        for (request, answer) in answers(&chance) {
            messages.append(answer.message(to: request.kind, number: UInt64(messages.count)))
        }
        return messages
    }
}

extension Message {
    /// As it comes out of a stream that it went into: with the size of its first frame.
    var sent: Message {
        var message = self
        message.head.payloadBytes = min(FrameHead.payloadLimit, fields.count + head.tensorBytes)
        return message
    }
}

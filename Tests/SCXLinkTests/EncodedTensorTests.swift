import SCXInference
import SCXLink
import Testing

@Suite("tensors in groups")
struct EncodedTensorTests {
    static let attention = Request.Operation.attention(layer: 0, parts: [AttentionPart(queries: 1, keys: 1)])

    static func tensor(_ precision: TensorPrecision, count: Int = 200, prefix: Int = 10) -> EncodedTensor {
        var chance = Chance(3)
        let values = (0..<count).map { _ in Float.random(in: -2...2, using: &chance) }
        return EncodedTensor(
            encodedRows: 1, channels: count, values: values, precision: precision, exactPrefix: prefix)
    }

    @Test("travel in 8.5 or 4.5 bits a value, and what arrives is what the sender has")
    func sizes() throws {
        let exact = Self.tensor(.float32)
        for (precision, words, error): (TensorPrecision, Int, Float) in [
            (.int8, 17, 0.009), (.int4, 9, 0.15),
        ] {
            let tensor = Self.tensor(precision)
            #expect(tensor.byteCount == 4 * (10 + 3 * words))
            let layout = tensor.layouts[0]
            #expect(layout.precision == precision && layout.exactPrefix == 10 && layout.channels == 200)
            #expect(tensor.values.prefix(10) == exact.values.prefix(10))
            let farthest = zip(tensor.values, exact.values).map { abs($0 - $1) }.max()
            #expect(try #require(farthest) < error)
            let request = Request(Self.attention, tensor)
            #expect(request.byteCount == tensor.byteCount)
            let bytes = try MemoryStream.bytes(of: request.message(number: 1))
            #expect(bytes.count == 32 + 31 + tensor.byteCount)
            let received = try Request(MessageStream(MemoryStream(bytes)).receiveAny())
            #expect(received == request)
            guard case .rows(let rows) = received.payload else { throw LinkError.disconnected("no rows") }
            #expect(rows.values == tensor.values)
        }
    }

    @Test("stay in float32 where a half does not hold a value")
    func large() {
        for (index, value): (Int, Float) in [(199, 65_505), (10, .nan), (70, -.infinity)] {
            var values = Self.tensor(.float32).values
            values[index] = value
            let tensor = EncodedTensor(
                encodedRows: 1, channels: 200, values: values, precision: .int8, exactPrefix: 10)
            #expect(!tensor.isInGroups && tensor.layouts[0].exactPrefix == 0 && tensor.byteCount == 800)
            #expect(tensor.values.map(\.bitPattern) == values.map(\.bitPattern))
        }
        // In the prefix any value may be.
        var values = Self.tensor(.float32).values
        values[9] = 1e30
        let tensor = EncodedTensor(
            encodedRows: 1, channels: 200, values: values, precision: .int4, exactPrefix: 10)
        #expect(tensor.layouts[0].precision == .int4 && tensor.values[9] == 1e30)
    }

    @Test("are alike when what travels is alike")
    func equality() {
        #expect(Self.tensor(.int8) == Self.tensor(.int8))
        #expect(Self.tensor(.int8) != Self.tensor(.int4))
        #expect(Self.tensor(.int8) != Self.tensor(.float32))
        #expect(Self.tensor(.int8, prefix: 9) != Self.tensor(.int8))
        #expect(Self.tensor(.int8, count: 199) != Self.tensor(.int8))
    }

    @Test(
        "words and fields that do not fit each other are refused", arguments: [TensorPrecision.int8, .int4])
    func malformed(_ precision: TensorPrecision) throws {
        let message = Request(Self.attention, Self.tensor(precision)).message(number: 1)
        guard case .words(let words) = message.tensor else { throw LinkError.disconnected("no words") }
        func refuses(_ change: (inout Message, inout [UInt32]) -> Void) -> Bool {
            var (message, words) = (message, words)
            change(&message, &words)
            if case .words = message.tensor { message.tensor = .words(words) }
            message.head.channels = words.count
            do throws(LinkError) { _ = try Request(message) } catch {
                if case .malformedFrame = error { return true }
            }
            return false
        }
        #expect(!refuses { _, _ in })
        #expect(refuses { _, words in words.removeLast() })
        #expect(refuses { _, words in words.append(0) })
        #expect(refuses { _, words in words = [] })
        #expect(refuses { _, words in words[10] = 0x7C00 })
        #expect(refuses { _, words in words[10] |= 0x7E00_0000 })
        #expect(refuses { message, _ in message.head.rows = 2 })
        #expect(refuses { message, _ in message.tensor = .floats([1]) })
        #expect(refuses { message, _ in message.head.kind = .feedForward })
        // Precision, then prefix, then channels, then the number of parts.
        for (offset, byte): (Int, UInt8) in [
            (22, 0), (22, 7), (22, 255), (23, 11), (26, 255), (27, 0), (30, 255), (2, 0), (2, 2), (5, 255),
        ] {
            #expect(refuses { message, _ in message.fields[offset] = byte })
        }
    }

    @Test("of several parts travel as one, each part as it is by itself")
    func joined() throws {
        let parts = [
            Self.tensor(.int8), Self.tensor(.float32, count: 7, prefix: 0),
            Self.tensor(.int4, count: 64, prefix: 0),
        ]
        for tensors in [parts, [parts[1], parts[1]], [parts[0]]] {
            let operation = Request.Operation.attention(
                layer: 0, parts: tensors.map { _ in AttentionPart(queries: 1, keys: 1) })
            let request = Request(operation, EncodedTensor(joining: tensors))
            #expect(request.byteCount == tensors.reduce(0) { $0 + $1.byteCount })
            let bytes = try MemoryStream.bytes(of: request.message(number: 1))
            let received = try Request(MessageStream(MemoryStream(bytes)).receiveAny())
            #expect(received == request)
            guard case .rows(let rows) = received.payload else { throw LinkError.disconnected("no rows") }
            #expect(rows.values == tensors.flatMap(\.values))
            #expect(rows.layouts == tensors.flatMap(\.layouts))
        }
    }

    @Test("are limited by what they are when they are numbers again")
    func limit() throws {
        let request = Request(Self.attention, Self.tensor(.int4))
        for limit in [800, 796] {
            var client = ClientProtocol(digest: LinkSamples.digest, model: LinkSamples.model)
            var worker = WorkerProtocol(hello: LinkSamples.workerHello, largestTensor: limit)
            guard case .send(let welcome) = try worker.receive(client.hello()) else { continue }
            _ = try client.receiveHello(welcome)
            let message = try client.ask(request)
            try worker.begin(message.head)
            if limit == 800 {
                #expect(try worker.receive(message) == .serve(request, number: 2))
            } else {
                #expect(throws: LinkError.malformedFrame("200 values, the limit is 796 bytes")) {
                    try worker.receive(message)
                }
            }
        }
    }

    @Test("no other request takes them, and none is empty")
    func preconditions() async {
        await #expect(processExitsWith: .failure) {
            _ = Request(.feedForward(layer: 0), EncodedTensorTests.tensor(.int8))
        }
        await #expect(processExitsWith: .failure) {
            _ = Request(.feedForward(layer: 0), EncodedTensor(encodedRows: 0, channels: 4, values: []))
        }
        await #expect(processExitsWith: .failure) {
            _ = Request(.attention(layer: 0, parts: []), EncodedTensorTests.tensor(.float32))
        }
        await #expect(processExitsWith: .failure) {
            _ = Request(.unlock(slot: Slot(number: 1), layer: 0, position: 0), permutation: [])
        }
    }
}

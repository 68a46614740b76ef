import SCXLink
import Testing

@Suite("messages over a stream")
struct MessageStreamTests {
    /// A request with a tensor of this many elements.
    static func request(elements: Int, segments: Int = 1) -> Message {
        let values = (0..<elements).map { Float($0 & 0xFFFF) }
        let tensor = EncodedTensor(encodedRows: 1, channels: elements, values: values)
        let segments = (0..<segments).map { Segment(slot: Slot(number: UInt32($0)), position: 0, rows: 1) }
        return Request(.middle(blocks: 0..<1, segments: segments), tensor).message(number: 9)
    }

    /// The heads of the frames in some bytes, and where each begins.
    static func frames(_ bytes: [UInt8]) throws -> [(head: FrameHead, at: Int)] {
        var frames: [(FrameHead, Int)] = []
        var at = 0
        while at < bytes.count {
            let head = try FrameHead(bytes: Array(bytes[at..<at + FrameHead.byteCount]))
            frames.append((head, at))
            at += FrameHead.byteCount + head.payloadBytes
        }
        #expect(at == bytes.count)
        return frames
    }

    @Test(
        "a tensor is cut into frames of at most 1 MiB and put together again",
        arguments: [
            (1, 1), (262_000, 1), (262_130, 1), (262_131, 1), (262_132, 2), (262_136, 2), (524_267, 2),
            (524_268, 3), (700_000, 3),
        ])
    func frames(elements: Int, count: Int) throws {
        let message = Self.request(elements: elements)
        let bytes = try MemoryStream.bytes(of: message)
        let frames = try Self.frames(bytes)
        #expect(frames.count == count)
        for (i, frame) in frames.enumerated() {
            #expect(frame.head.kind == (i == 0 ? .middle : .more))
            #expect(frame.head.fieldBytes == (i == 0 ? message.fields.count : 0))
            #expect(frame.head.number == 9)
            #expect(i == count - 1 || frame.head.payloadBytes == FrameHead.payloadLimit)
        }
        let stream = MemoryStream(bytes + bytes)
        #expect(try MessageStream(stream).receiveAny() == message.sent)
        #expect(try MessageStream(stream).receiveAny() == message.sent)
        #expect(stream.unread == 0)
    }

    @Test("fields that fill the first frame leave the tensor to the next")
    func longFields() throws {
        // 8 + 12 n bytes of fields: the limit is 8 more than a multiple of 12.
        let segments = (FrameHead.payloadLimit - 8) / 12
        let message = Self.request(elements: 3, segments: segments)
        #expect(message.fields.count == FrameHead.payloadLimit)
        let bytes = try MemoryStream.bytes(of: message)
        #expect(try Self.frames(bytes).map(\.head.payloadBytes) == [FrameHead.payloadLimit, 12])
        #expect(try MessageStream(MemoryStream(bytes)).receiveAny() == message.sent)
    }

    @Test("every message cut at every byte ends as a disconnection")
    func cuts() throws {
        for message in try LinkSamples.messages(seed: 6) {
            let bytes = try MemoryStream.bytes(of: message)
            for count in 0..<bytes.count {
                #expect(throws: LinkError.disconnected("the stream ended")) {
                    try MessageStream(MemoryStream(Array(bytes[..<count]))).receiveAny()
                }
            }
        }
    }

    @Test(
        "flipped bits give an error or another message, and nothing traps", arguments: 0..<1 as Range<UInt64>)
    func flips(seed: UInt64) throws {
        var chance = Chance(seed)
        let requests = LinkSamples.requests(&chance)
        for message in try LinkSamples.messages(seed: seed) {
            let bytes = try MemoryStream.bytes(of: message)
            for bit in 0..<8 * bytes.count {
                var flipped = bytes
                flipped[bit / 8] ^= 1 << (bit % 8)
                guard let read = try? MessageStream(MemoryStream(flipped)).receiveAny() else { continue }
                _ = try? Request(read)
                if read.head.isAnswer { for request in requests { _ = try? Answer(read, to: request) } }
            }
        }
    }

    /// Rewrites a field of the second frame's head.
    static func second(_ change: (inout FrameHead) -> Void) throws -> [UInt8] {
        var bytes = try MemoryStream.bytes(of: request(elements: 700_000))
        var (head, at) = try frames(bytes)[1]
        change(&head)
        bytes.replaceSubrange(at..<at + FrameHead.byteCount, with: head.bytes)
        return bytes
    }

    static let changes: [(name: String, change: @Sendable (inout FrameHead) -> Void)] = [
        ("number", { $0.number = 10 }), ("kind", { $0.kind = .middle }),
        ("direction", { $0.isAnswer = true }),
        ("elements", { $0.elements = .uint32 }), ("rows", { ($0.rows, $0.channels) = (2, 350_000) }),
        ("channels", { $0.channels = 700_001 }), ("fields", { $0.fieldBytes = 4 }),
        ("nothing in it", { $0.payloadBytes = 0 }),
    ]

    @Test("a frame that does not go on with its message is refused", arguments: 0..<8)
    func continuation(index: Int) throws {
        let bytes = try Self.second(Self.changes[index].change)
        #expect(throws: LinkError.malformedFrame("a frame that does not go on with the message before it")) {
            try MessageStream(MemoryStream(bytes)).receiveAny()
        }
    }

    @Test("a last frame with more than is left is refused")
    func tooMuch() throws {
        var bytes = try MemoryStream.bytes(of: Self.request(elements: 262_140))
        var (head, at) = try Self.frames(bytes)[1]
        head.payloadBytes += 4
        bytes.replaceSubrange(at..<at + FrameHead.byteCount, with: head.bytes)
        #expect(throws: LinkError.malformedFrame("a frame that does not go on with the message before it")) {
            try MessageStream(MemoryStream(bytes + [0, 0, 0, 0])).receiveAny()
        }
    }

    @Test("the rest of a message that did not begin is refused")
    func strayRest() throws {
        let bytes = try MemoryStream.bytes(of: Self.request(elements: 700_000))
        let at = try Self.frames(bytes)[1].at
        #expect(throws: LinkError.malformedFrame("the rest of a message that did not begin")) {
            try MessageStream(MemoryStream(Array(bytes[at...]))).receiveAny()
        }
    }

    @Test("a refused head is all that is read")
    func refused() throws {
        let stream = MemoryStream(try MemoryStream.bytes(of: Self.request(elements: 1000)))
        #expect(throws: LinkError.workerFull("no")) {
            try MessageStream(stream).receive(before: .never) { _ throws(LinkError) in throw .workerFull("no")
            }
        }
        #expect(stream.unread == stream.bytes.count - FrameHead.byteCount)
    }
}

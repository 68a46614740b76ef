import SCXLink
import Testing

@Suite("frame heads")
struct FrameTests {
    static var sample: FrameHead {
        var head = FrameHead(kind: .middle, isAnswer: true, number: 0x0102_0304_0506_0708)
        (head.elements, head.rows, head.channels) = (.float32, 3, 5)
        (head.fieldBytes, head.payloadBytes) = (20, 80)
        return head
    }

    /// The sample's bytes with a little-endian number written over them.
    static func sample(_ value: some FixedWidthInteger, at offset: Int) -> [UInt8] {
        var bytes = sample.bytes
        for i in 0..<value.bitWidth / 8 { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
        return bytes
    }

    @Test("a head is 32 bytes in the documented order")
    func layout() throws {
        let bytes = Self.sample.bytes
        #expect(
            bytes == [
                0x53, 0x43, 0x58, 0x31, 80, 0, 0, 0, 8, 0, 1, 1, 20, 0, 0, 0,
                8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 5, 0, 0, 0,
            ])
        #expect(try FrameHead(bytes: bytes) == Self.sample)
        #expect(Self.sample.tensorBytes == 60)
    }

    @Test("kinds and codes keep their numbers")
    func numbers() {
        #expect(MessageKind.allCases.map(\.rawValue) == Array(1...13) + [0x40, 0x41])
        #expect(ElementCode.allCases.map(\.rawValue) == [0, 1, 2])
        #expect(Site.allCases.map(\.rawValue) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    }

    @Test(
        "each field out of range is named",
        arguments: [
            (0, 0x3158_4354, "it does not begin with SCX1: is the peer an SCX worker or client?"),
            (4, 1_048_545, "a payload of 1048545 bytes, the limit is 1048544"),
            (4, .max, "a payload of 4294967295 bytes, the limit is 1048544"),
            (4, 81, "more bytes than its tensor has"),
            (8, 0x0101_0000, "unknown kind 0"), (8, 0x0101_000E, "unknown kind 14"),
            (8, 0x0102_0008, "unknown flags 2"), (8, 0x0301_0008, "unknown elements 3"),
            (8, 0x0001_0008, "a tensor of 3 x 5 elements"),
            (12, 81, "its fields are longer than the frame"),
            (12, .max, "its fields are longer than the frame"),
            (24, 0, "a tensor of 0 x 5 elements"), (28, 0, "a tensor of 3 x 0 elements"),
            (24, .max, "a tensor of 4294967295 x 5 elements"),
            (28, 1 << 29, "a tensor of 3 x 536870912 elements"),
        ] as [(Int, UInt32, String)])
    func malformed(offset: Int, value: UInt32, reason: String) {
        #expect(throws: LinkError.malformedFrame(reason)) {
            try FrameHead(bytes: Self.sample(value, at: offset))
        }
    }

    @Test("a shape whose product overflows is refused")
    func overflow() {
        let bytes = Self.sample(UInt64.max, at: 24)
        #expect(throws: LinkError.malformedFrame("a tensor of 4294967295 x 4294967295 elements")) {
            try FrameHead(bytes: bytes)
        }
    }

    @Test("limits themselves are allowed")
    func limits() throws {
        var head = FrameHead(kind: .more, isAnswer: false, number: .max)
        (head.elements, head.rows, head.channels) = (.uint32, 1 << 14, 1 << 15)
        (head.fieldBytes, head.payloadBytes) = (FrameHead.payloadLimit, FrameHead.payloadLimit)
        #expect(try FrameHead(bytes: head.bytes) == head)
        #expect(head.tensorBytes == 1 << 31)
        // Without elements one side of the shape may be anything.
        head.elements = .none
        (head.rows, head.channels) = (0, Int(UInt32.max))
        #expect(try FrameHead(bytes: head.bytes) == head)
    }

    @Test("a head cut at any byte is refused")
    func cuts() {
        for count in 0..<FrameHead.byteCount {
            #expect(throws: LinkError.malformedFrame("its fields end early")) {
                try FrameHead(bytes: Array(Self.sample.bytes.prefix(count)))
            }
        }
    }

    @Test("random heads are refused or read to what writes the same bytes", arguments: 0..<8 as Range<UInt64>)
    func random(seed: UInt64) throws {
        var chance = Chance(seed)
        var read = 0
        for _ in 0..<500 {
            var bytes = Self.sample.bytes
            for _ in 0..<Int.random(in: 1...4, using: &chance) {
                let i = Int.random(in: 0..<bytes.count, using: &chance)
                bytes[i] =
                    Bool.random(using: &chance)
                    ? bytes[i] ^ (1 << UInt8.random(in: 0..<8, using: &chance))
                    : UInt8.random(in: 0...255, using: &chance)
            }
            guard let head = try? FrameHead(bytes: bytes) else { continue }
            #expect(head.bytes == bytes)
            #expect(head.tensorBytes <= 1 << 31)
            read += 1
        }
        #expect(read > 20)
    }
}

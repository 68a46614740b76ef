/// The kind of a message: what a request asks for, or which kind of request an answer belongs to.
public enum MessageKind: UInt16, CaseIterable, Sendable {
    case hello = 1
    case linear, attention, feedForward, headTopK, unlock, lockTail, middle, tailScores, linearRing, release,
        stats, padProducts
    /// The answer to a request that could not be served: a code and a text.
    case failure = 0x40
    /// The next part of a message that one frame could not hold.
    case more = 0x41
}

/// The type of the elements of a message's tensor.
public enum ElementCode: UInt8, CaseIterable, Sendable {
    case none = 0
    case float32, uint32

    /// Bytes of one element.
    public var byteCount: Int { self == .none ? 0 : 4 }
}

/// The head of a frame: 32 bytes, little-endian, in the layout of `docs/protocol.md`.
///
/// A frame is a head and at most ``payloadLimit`` bytes. A message is one frame, or a first frame and frames of kind
/// ``MessageKind/more`` with the rest of its tensor. A head that was read is well-formed and within the limits;
/// ``WorkerProtocol`` and ``ClientProtocol`` decide whether it may come now.
public struct FrameHead: Equatable, Sendable {
    /// How many bytes a head has.
    public static let byteCount = 32
    /// The most bytes of a whole frame.
    public static let frameLimit = 1 << 20
    /// The most bytes of a payload.
    public static let payloadLimit = frameLimit - byteCount
    /// The most elements of a tensor, which then has 2 GiB.
    public static let elementLimit = 1 << 29
    static let magic: UInt32 = 0x3158_4353  // "SCX1"

    public var kind: MessageKind
    /// Whether it is an answer; otherwise it is a request.
    public var isAnswer: Bool
    /// The number of the request: 1 for the first of a connection, then one more for each.
    ///
    /// The answer and all further frames of both have the same number.
    public var number: UInt64
    /// The type of the tensor's elements.
    public var elements = ElementCode.none
    /// Shape of the message's tensor.
    public var rows = 0
    /// The number of columns of the message's tensor.
    public var channels = 0
    /// How many bytes at the payload's beginning are the kind's own fields, before the tensor.
    public var fieldBytes = 0
    /// How many bytes of this frame follow its head.
    public var payloadBytes = 0

    /// Makes the head of a message without a tensor and fields.
    public init(kind: MessageKind, isAnswer: Bool, number: UInt64) {
        self.kind = kind
        self.isAnswer = isAnswer
        self.number = number
    }

    /// The size of the message's tensor, in bytes.
    public var tensorBytes: Int { rows * channels * elements.byteCount }

    /// The head's 32 bytes as they are sent.
    public var bytes: [UInt8] {
        var writer = FieldWriter()
        writer.add(Self.magic)
        writer.add(UInt32(payloadBytes))
        writer.add(kind.rawValue)
        writer.add(UInt8(isAnswer ? 1 : 0))
        writer.add(elements.rawValue)
        writer.add(UInt32(fieldBytes))
        writer.add(number)
        writer.add(UInt32(rows))
        writer.add(UInt32(channels))
        return writer.bytes
    }

    /// Reads and checks a head.
    ///
    /// - Parameter bytes: ``byteCount`` bytes.
    /// - Throws: ``LinkError/malformedFrame(_:)``, before anything is allocated for the frame.
    public init(bytes: [UInt8]) throws(LinkError) {
        var reader = FieldReader(bytes)
        guard try reader.take(UInt32.self) == Self.magic else {
            throw .malformedFrame("it does not begin with SCX1: is the peer an SCX worker or client?")
        }
        payloadBytes = Int(try reader.take(UInt32.self))
        guard payloadBytes <= Self.payloadLimit else {
            throw .malformedFrame("a payload of \(payloadBytes) bytes, the limit is \(Self.payloadLimit)")
        }
        let code = try reader.take(UInt16.self)
        guard let kind = MessageKind(rawValue: code) else { throw .malformedFrame("unknown kind \(code)") }
        self.kind = kind
        let flags = try reader.take(UInt8.self)
        guard flags <= 1 else { throw .malformedFrame("unknown flags \(flags)") }
        isAnswer = flags == 1
        let element = try reader.take(UInt8.self)
        guard let elements = ElementCode(rawValue: element) else {
            throw .malformedFrame("unknown elements \(element)")
        }
        self.elements = elements
        fieldBytes = Int(try reader.take(UInt32.self))
        number = try reader.take(UInt64.self)
        rows = Int(try reader.take(UInt32.self))
        channels = Int(try reader.take(UInt32.self))
        guard fieldBytes <= payloadBytes else {
            throw .malformedFrame("its fields are longer than the frame")
        }
        let (count, overflow) = rows.multipliedReportingOverflow(by: channels)
        guard !overflow, count <= Self.elementLimit, (elements == .none) == (count == 0) else {
            throw .malformedFrame("a tensor of \(rows) x \(channels) elements")
        }
        guard payloadBytes - fieldBytes <= tensorBytes else {
            throw .malformedFrame("more bytes than its tensor has")
        }
    }
}

/// Writes fields, little-endian, one after the other.
struct FieldWriter {
    private(set) var bytes: [UInt8] = []

    mutating func add(_ value: some FixedWidthInteger) {
        unsafe withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    /// Adds a text of at most 64 KiB: its length in two bytes, then UTF-8.
    mutating func add(_ text: String) {
        let utf8 = text.utf8.prefix(Int(UInt16.max))
        add(UInt16(utf8.count))
        bytes.append(contentsOf: utf8)
    }
}

/// Reads fields, little-endian, one after the other.
struct FieldReader {
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func take<Value: FixedWidthInteger>(_: Value.Type) throws(LinkError) -> Value {
        let width = Value.bitWidth / 8
        guard bytes.count - at >= width else { throw .malformedFrame("its fields end early") }
        var value: Value = 0
        for i in (0..<width).reversed() { value = value << 8 | Value(truncatingIfNeeded: bytes[at + i]) }
        at += width
        return value
    }

    mutating func takeText() throws(LinkError) -> String {
        let count = Int(try take(UInt16.self))
        guard bytes.count - at >= count else { throw .malformedFrame("its fields end early") }
        defer { at += count }
        guard let text = String(validating: bytes[at..<at + count], as: UTF8.self) else {
            throw .malformedFrame("a text is not UTF-8")
        }
        return text
    }

    var isAtEnd: Bool { at == bytes.count }

    /// Checks that all bytes have been read.
    func finish() throws(LinkError) {
        guard at == bytes.count else { throw .malformedFrame("\(bytes.count - at) bytes after its fields") }
    }
}

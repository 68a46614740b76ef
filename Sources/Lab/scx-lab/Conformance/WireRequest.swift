import SCXLink

/// The head of a frame with any numbers, also those that no head may have.
///
/// It is written here after `docs/protocol.md` and not with SCXLink's own ``FrameHead``, which holds nothing malformed.
struct WireHead {
    var magic: [UInt8] = Array("SCX1".utf8)
    var payload: UInt32 = 0
    var kind: UInt16
    var flags: UInt8 = 0
    var elements: UInt8 = 0
    var fields: UInt32 = 0
    var number: UInt64
    var rows: UInt32 = 0
    var channels: UInt32 = 0

    init(_ kind: MessageKind, number: UInt64) { (self.kind, self.number) = (kind.rawValue, number) }

    var bytes: [UInt8] {
        magic + wire(payload) + wire(kind) + [flags, elements] + wire(fields) + wire(number) + wire(rows)
            + wire(channels)
    }
}

/// The bytes of a number, little-endian.
func wire(_ number: some FixedWidthInteger) -> [UInt8] {
    unsafe withUnsafeBytes(of: number.littleEndian) { unsafe Array($0) }
}

/// The bytes of a text in the fields: its length in two bytes, then UTF-8.
func wire(_ text: String) -> [UInt8] { wire(UInt16(text.utf8.count)) + Array(text.utf8) }

/// A request as it is sent, whose numbers may be any.
struct WireRequest: Sendable {
    var kind: MessageKind
    var fields: [UInt8] = []
    var tensor = Message.Tensor.none
    var rows = 0
    var channels = 0

    init(_ kind: MessageKind, _ fields: [UInt8] = []) { (self.kind, self.fields) = (kind, fields) }

    /// A request with a tensor of `rows` equal rows.
    init(_ kind: MessageKind, _ fields: [UInt8], _ tensor: Message.Tensor, rows: Int) {
        (self.kind, self.fields, self.tensor, self.rows) = (kind, fields, tensor, rows)
        let count =
            switch tensor {
            case .none: 0
            case .floats(let values): values.count
            case .words(let values): values.count
            }
        channels = count / max(1, rows)
    }

    /// The head of the request's first frame, without the size of its payload.
    func head(number: UInt64) -> WireHead {
        var head = WireHead(kind, number: number)
        head.elements =
            switch tensor {
            case .none: 0
            case .floats: 1
            case .words: 2
            }
        head.fields = UInt32(fields.count)
        (head.rows, head.channels) = (UInt32(rows), UInt32(channels))
        return head
    }

    private var tensorBytes: [UInt8] {
        switch tensor {
        case .none: []
        case .floats(let values): unsafe values.span.bytes.withUnsafeBytes { unsafe Array($0) }
        case .words(let values): unsafe values.span.bytes.withUnsafeBytes { unsafe Array($0) }
        }
    }

    /// The frames of the request.
    ///
    /// - Parameters:
    ///   - number: The request's number.
    ///   - parts: How many bytes of the tensor the first frames have; the others are filled.
    /// - Returns: Each frame's bytes, head and payload.
    func frames(number: UInt64, parts: [Int] = []) -> [[UInt8]] {
        let (tensor, limit) = (tensorBytes, FrameHead.payloadLimit)
        var head = head(number: number)
        var (payload, done, parts) = (fields, 0, parts[...])
        var frames: [[UInt8]] = []
        repeat {
            let part = min(tensor.count - done, parts.popFirst() ?? limit, limit - payload.count)
            payload += tensor[done..<done + part]
            done += part
            head.payload = UInt32(payload.count)
            frames.append(head.bytes + payload)
            (head.kind, head.fields, payload) = (MessageKind.more.rawValue, 0, [])
        } while done < tensor.count
        return frames
    }

    /// The request as SCXLink holds it, for the reference.
    func request() throws(LinkError) -> Request {
        var head = FrameHead(kind: kind, isAnswer: false, number: 1)
        (head.rows, head.channels) = (rows, channels)
        switch tensor {
        case .none: break
        case .floats: head.elements = .float32
        case .words: head.elements = .uint32
        }
        return try Request(Message(head: head, fields: fields, tensor: tensor))
    }
}

// The requests of `docs/protocol.md`, section Kinds.
extension WireRequest {
    /// Stands for no slot.
    static let noSlot = UInt32.max

    /// A segment, or a part of an attention in float32: its slot and numbers.
    struct Part {
        var slot = WireRequest.noSlot
        var position = 0
        var queries = 0
        var keys = 0
    }

    static func linear(
        _ layer: Int, _ site: UInt16, slot: UInt32 = noSlot, exact: UInt8 = 0, _ values: [Float], rows: Int
    ) -> WireRequest {
        WireRequest(
            .linear, wire(UInt16(layer)) + wire(site) + wire(slot) + [exact], .floats(values), rows: rows)
    }

    /// Parts in float32, whose values are given one after the other.
    static func attention(
        _ layer: Int, _ parts: [(part: Part, channels: Int)], _ values: [Float]
    ) -> WireRequest {
        let fields = parts.flatMap { attentionPart($0.part, precision: 0, prefix: 0, channels: $0.channels) }
        return WireRequest(
            .attention, wire(UInt16(layer)) + wire(UInt32(parts.count)) + fields, .floats(values), rows: 1)
    }

    /// The fields of a part of an attention.
    static func attentionPart(_ part: Part, precision: UInt8, prefix: Int, channels: Int) -> [UInt8] {
        wire(part.slot) + wire(UInt32(part.position)) + wire(UInt32(part.queries)) + wire(UInt32(part.keys))
            + [precision] + wire(UInt32(prefix)) + wire(UInt32(channels))
    }

    static func feedForward(_ layer: Int, _ values: [Float], rows: Int) -> WireRequest {
        WireRequest(.feedForward, wire(UInt16(layer)), .floats(values), rows: rows)
    }

    static func headTopK(_ count: Int, _ values: [Float], rows: Int) -> WireRequest {
        WireRequest(.headTopK, wire(UInt32(count)), .floats(values), rows: rows)
    }

    static func unlock(
        slot: UInt32, _ layer: Int, position: Int, from: UInt32? = nil, _ order: [UInt32]
    ) -> WireRequest {
        WireRequest(
            .unlock,
            wire(slot) + wire(UInt16(layer)) + wire(UInt32(position)) + (from.map { wire($0) } ?? []),
            .words(order), rows: 1)
    }

    static func lockTail(slot: UInt32, _ layer: Int, _ values: [Float], rows: Int) -> WireRequest {
        WireRequest(.lockTail, wire(slot) + wire(UInt16(layer)), .floats(values), rows: rows)
    }

    /// The rows of several segments, each with its slot, position and number of rows (`queries`).
    static func middle(
        _ blocks: Range<Int>, _ segments: [Part], mutual: [UInt8] = [], _ values: [Float], rows: Int
    ) -> WireRequest {
        WireRequest(
            .middle,
            wire(UInt16(blocks.lowerBound)) + wire(UInt16(blocks.upperBound)) + self.segments(segments)
                + mutual,
            .floats(values), rows: rows)
    }

    static func tailScores(_ layer: Int, _ segments: [Part], _ values: [Float]) -> WireRequest {
        WireRequest(
            .tailScores, wire(UInt16(layer)) + self.segments(segments), .floats(values), rows: segments.count)
    }

    private static func segments(_ segments: [Part]) -> [UInt8] {
        wire(UInt32(segments.count))
            + segments.flatMap { wire($0.slot) + wire(UInt32($0.position)) + wire(UInt32($0.queries)) }
    }

    static func linearRing(
        _ layer: Int, _ site: UInt16, groups: [Int]? = nil, _ values: [UInt32], rows: Int
    ) -> WireRequest {
        let chosen = groups.map { wire(UInt16($0.count)) + $0.flatMap { wire(UInt16($0)) } } ?? []
        return WireRequest(
            .linearRing, wire(UInt16(layer)) + wire(site) + chosen, .words(values), rows: rows)
    }

    static func padProducts(
        _ layer: Int, _ site: UInt16, seed: [UInt8], first: UInt32, count: Int
    ) -> WireRequest {
        WireRequest(
            .padProducts,
            wire(UInt16(layer)) + wire(site) + seed + wire(first) + wire(UInt32(count)))
    }

    static func release(slot: UInt32) -> WireRequest { WireRequest(.release, wire(slot)) }

    static let stats = WireRequest(.stats)
}

/// Numbers that are the same in every run.
struct SampleNumbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Numbers from −2 to 2: 2²⁴ multiples of one power of two, so that exact products can be exact.
    mutating func floats(_ count: Int) -> [Float] {
        (0..<count).map { _ in Float(next() >> 40) / 4_194_304 - 2 }
    }

    /// Words of 32 bits, the first of which are at the edges.
    mutating func words(_ count: Int) -> [UInt32] {
        let edges: [UInt32] = [.max, 1 << 31, 0, 1, (1 << 31) - 1, 0xFFFF, 0x1_0000, 255, 256, 128, 127]
        return (0..<count).map { i in
            let word = UInt32(truncatingIfNeeded: next())
            return i < edges.count ? edges[i] : word
        }
    }
}

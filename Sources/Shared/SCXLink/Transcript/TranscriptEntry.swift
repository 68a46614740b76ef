/// One message of a transcript: the contents of its line, and where its tensor is.
public struct TranscriptEntry: Equatable, Sendable {
    /// The direction of a message, as the worker saw it.
    public enum Direction: String, Sendable {
        /// A request.
        case received
        /// An answer.
        case sent
    }

    /// The fields of the message's kind.
    public enum Detail: Equatable, Sendable {
        case none
        case hello(Hello)
        case request(Request.Operation)
        case statistics(WorkerStatistics)
        case failure(code: UInt16, reason: String)
        /// The bytes of fields that could not be read as those of the message's kind.
        case undecoded([UInt8])
    }

    /// The number of the worker's run, counted from 0.
    ///
    /// The numbers of connections begin anew in each run.
    public var run = 0
    /// The time since the start of the run, in microseconds.
    public let microseconds: Int
    public let direction: Direction
    /// The number of the connection within the run.
    public let connection: UInt64
    /// The request's number on its connection, which its answer has too.
    public let number: UInt64
    public let kind: MessageKind
    public let detail: Detail
    /// How the values of each part of an attention's input travelled; empty for everything else.
    public let layouts: [TensorLayout]
    public let elements: ElementCode
    public let rows: Int
    public let channels: Int
    /// The offset in `transcript.bin` at which the message's tensor begins, in bytes.
    public let offset: Int

    /// The size of the message's tensor, in bytes.
    public var byteCount: Int { rows * channels * elements.byteCount }

    /// Whether some of the tensor's values were sent in groups, with few bits each.
    public var isInGroups: Bool { layouts.contains { $0.precision != .float32 } }

    /// Makes the entry that a recorder writes about a message.
    public init(
        _ message: Message, direction: Direction, connection: UInt64, microseconds: Int, offset: Int
    ) {
        self.microseconds = microseconds
        self.direction = direction
        self.connection = connection
        number = message.head.number
        kind = message.head.kind
        elements = message.head.elements
        rows = elements == .none ? 0 : message.head.rows
        channels = elements == .none ? 0 : message.head.channels
        self.offset = offset
        do throws(LinkError) {
            (detail, layouts) = try Self.decode(message, direction)
        } catch {
            (detail, layouts) = (.undecoded(message.fields), [])
        }
    }

    init(_ line: TranscriptLine) throws(TranscriptError) {
        microseconds = try line.int("microseconds")
        guard let direction = Direction(rawValue: try line.text("direction")) else {
            throw line.fault("an unknown direction")
        }
        self.direction = direction
        connection = UInt64(try line.int("connection"))
        number = UInt64(try line.int("number"))
        kind = try line.choice("kind", of: MessageKind.allCases)
        detail = try Detail(line, kind, direction)
        if case .request(.attention) = detail {
            layouts = try line.objects("parts").map { part throws(TranscriptError) in try part.layout() }
        } else {
            layouts = []
        }
        guard line["dtype"] != nil else {
            (elements, rows, channels, offset) = (.none, 0, 0, 0)
            return
        }
        elements = try line.choice("dtype", of: [ElementCode.float32, .uint32])
        let shape = try line.ints("shape")
        guard shape.count == 2 else { throw line.fault("a shape of \(shape.count) numbers") }
        (rows, channels) = (shape[0], shape[1])
        let (count, overflow) = rows.multipliedReportingOverflow(by: channels)
        guard !overflow, (1...FrameHead.elementLimit).contains(count) else {
            throw line.fault("a tensor of \(rows) x \(channels) elements")
        }
        offset = try line.int("offset")
        guard try line.int("bytes") == byteCount else { throw line.fault("'bytes' does not fit the shape") }
        guard !layouts.isEmpty else { return }
        guard
            elements == (isInGroups ? .uint32 : .float32), rows == 1 || !isInGroups,
            layouts.reduce(0, { $0 + $1.wordCount }) == channels
        else { throw line.fault("'channels' does not fit the shape") }
    }
}

extension TranscriptEntry {
    /// The layer that the message names; nil if it names none.
    public var layer: Int? {
        guard case .request(let operation) = detail else { return nil }
        return switch operation {
        case .linear(let layer, _, _, _), .attention(let layer, _), .feedForward(let layer),
            .unlock(_, let layer, _, _), .lockTail(_, let layer), .tailScores(let layer, _),
            .linearRing(let layer, _, _), .padProducts(let layer, _, _, _, _):
            layer
        case .headTopK, .middle, .release, .stats: nil
        }
    }

    /// The slots of the sessions that the message names.
    public var slots: [Slot] {
        guard case .request(let operation) = detail else { return [] }
        switch operation {
        case .linear(_, _, let slot, _): return slot.map { [$0] } ?? []
        case .attention(_, let parts): return parts.compactMap(\.slot)
        case .unlock(let slot, _, _, _), .lockTail(let slot, _), .release(let slot): return [slot]
        case .middle(_, let segments), .tailScores(_, let segments): return segments.map(\.slot)
        case .feedForward, .headTopK, .linearRing, .padProducts, .stats: return []
        }
    }
}

extension TranscriptEntry {
    private static func decode(
        _ message: Message, _ direction: Direction
    ) throws(LinkError) -> (detail: Detail, layouts: [TensorLayout]) {
        var fields = FieldReader(message.fields)
        switch (message.head.kind, direction) {
        case (.hello, _):
            return (.hello(try Hello(message)), [])
        case (.failure, _):
            return (.failure(code: try fields.take(UInt16.self), reason: try fields.takeText()), [])
        case (.stats, .sent):
            guard case .statistics(let statistics) = try Answer(message, to: Request(.stats)) else {
                throw .unexpectedAnswer("no statistics")
            }
            return (.statistics(statistics), [])
        case (_, .received):
            let request = try Request(message)
            guard case (.attention, .rows(let tensor)) = (request.operation, request.payload) else {
                return (.request(request.operation), [])
            }
            return (.request(request.operation), tensor.layouts)
        case (_, .sent):
            try fields.finish()
            return (.none, [])
        }
    }
}

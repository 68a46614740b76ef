/// One message of a transcript: what its line says, and where its tensor lies.
public struct TranscriptEntry: Equatable, Sendable {
    /// As the worker saw it.
    public enum Direction: String, Sendable {
        /// A request.
        case received
        /// An answer.
        case sent
    }

    /// The kind's own fields.
    public enum Detail: Equatable, Sendable {
        case none
        case hello(Hello)
        case request(Request.Operation)
        case statistics(WorkerStatistics)
        case failure(code: UInt16, reason: String)
        /// The bytes of fields that are not as the kind has them.
        case undecoded([UInt8])
    }

    /// Which run of the worker, counted from 0: ``connection`` begins anew in each.
    public var run = 0
    /// Time since the run's start.
    public let microseconds: Int
    public let direction: Direction
    public let connection: UInt64
    /// The request's number on its connection, which its answer repeats.
    public let number: UInt64
    public let kind: MessageKind
    public let detail: Detail
    /// How the values of an attention's input travelled; nil of everything else.
    public let layout: TensorLayout?
    public let elements: ElementCode
    public let rows: Int
    public let channels: Int
    /// Bytes before its tensor in `transcript.bin`.
    public let offset: Int

    /// Bytes of its tensor.
    public var byteCount: Int { rows * channels * elements.byteCount }

    /// What is to be written about a message.
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
            (detail, layout) = try Self.decode(message, direction)
        } catch {
            (detail, layout) = (.undecoded(message.fields), nil)
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
        if case .request(.attention) = detail { layout = try line.layout() } else { layout = nil }
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
        guard let layout else { return }
        guard
            layout.precision == .float32
                ? elements == .float32 && layout.channels == channels
                : elements == .uint32 && rows == 1 && layout.wordCount == channels
        else { throw line.fault("'channels' does not fit the shape") }
    }
}

extension TranscriptEntry {
    /// The layer that it is about, if it is about one.
    public var layer: Int? {
        guard case .request(let operation) = detail else { return nil }
        return switch operation {
        case .linear(let layer, _, _, _), .attention(let layer, _, _, _, _), .feedForward(let layer),
            .unlock(_, let layer, _), .lockTail(_, let layer), .tailScores(_, let layer, _):
            layer
        case .headTopK, .middle, .release, .stats: nil
        }
    }

    /// The sessions that it is about.
    public var slots: [Slot] {
        guard case .request(let operation) = detail else { return [] }
        switch operation {
        case .linear(_, _, let slot, _), .attention(_, let slot, _, _, _): return slot.map { [$0] } ?? []
        case .unlock(let slot, _, _), .lockTail(let slot, _), .tailScores(let slot, _, _), .release(let slot):
            return [slot]
        case .middle(_, let segments): return segments.map(\.slot)
        case .feedForward, .headTopK, .stats: return []
        }
    }
}

extension TranscriptEntry {
    private static func decode(
        _ message: Message, _ direction: Direction
    ) throws(LinkError) -> (detail: Detail, layout: TensorLayout?) {
        var fields = FieldReader(message.fields)
        switch (message.head.kind, direction) {
        case (.hello, _):
            return (.hello(try Hello(message)), nil)
        case (.failure, _):
            return (.failure(code: try fields.take(UInt16.self), reason: try fields.takeText()), nil)
        case (.stats, .sent):
            guard case .statistics(let statistics) = try Answer(message, to: Request(.stats)) else {
                throw .unexpectedAnswer("no statistics")
            }
            return (.statistics(statistics), nil)
        case (_, .received):
            let request = try Request(message)
            guard case (.attention, .rows(let tensor)) = (request.operation, request.payload) else {
                return (.request(request.operation), nil)
            }
            return (.request(request.operation), tensor.layout)
        case (_, .sent):
            try fields.finish()
            return (.none, nil)
        }
    }
}

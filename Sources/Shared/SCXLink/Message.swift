/// A request or an answer as it is sent: a head, the fields of its kind, and a tensor.
public struct Message: Equatable, Sendable {
    /// The elements of a message's tensor.
    public enum Tensor: Equatable, Sendable {
        case none
        case floats([Float])
        case words([UInt32])
    }

    /// The head of the first frame.
    ///
    /// Its payload's size is set when the message is sent.
    public var head: FrameHead
    /// The bytes of the kind's own fields.
    public var fields: [UInt8]
    public var tensor: Tensor

    public init(head: FrameHead, fields: [UInt8] = [], tensor: Tensor = .none) {
        self.head = head
        self.fields = fields
        self.tensor = tensor
        self.head.fieldBytes = fields.count
    }
}

extension Request {
    /// The kind of the message that carries this request.
    public var kind: MessageKind {
        switch operation {
        case .linear: .linear
        case .attention: .attention
        case .feedForward: .feedForward
        case .headTopK: .headTopK
        case .unlock: .unlock
        case .lockTail: .lockTail
        case .middle: .middle
        case .tailScores: .tailScores
        case .linearRing: .linearRing
        case .padProducts: .padProducts
        case .release: .release
        case .stats: .stats
        }
    }

    /// Makes the message that carries this request.
    public func message(number: UInt64) -> Message {
        var head = FrameHead(kind: kind, isAnswer: false, number: number)
        var fields = FieldWriter()
        switch operation {
        case .linear(let layer, let site, let slot, let exact):
            fields.add(UInt16(layer))
            fields.add(site.rawValue)
            fields.add(slot)
            fields.add(UInt8(exact ? 1 : 0))
        case .attention(let layer, let parts):
            fields.add(UInt16(layer))
            fields.add(UInt32(parts.count))
            guard case .rows(let tensor) = payload else { break }
            for (part, layout) in zip(parts, tensor.layouts) {
                fields.add(part.slot)
                for number in [part.position, part.queries, part.keys] { fields.add(UInt32(number)) }
                fields.add(layout)
            }
        case .feedForward(let layer): fields.add(UInt16(layer))
        case .headTopK(let count): fields.add(UInt32(count))
        case .lockTail(let slot, let layer):
            fields.add(slot.number)
            fields.add(UInt16(layer))
        case .middle(let blocks, let segments):
            fields.add(UInt16(blocks.lowerBound))
            fields.add(UInt16(blocks.upperBound))
            fields.add(segments)
            if segments.contains(where: \.isMutual) {
                for segment in segments { fields.add(UInt8(segment.isMutual ? 1 : 0)) }
            }
        case .tailScores(let layer, let segments):
            fields.add(UInt16(layer))
            fields.add(segments)
        case .unlock(let slot, let layer, let position, let source):
            fields.add(slot.number)
            fields.add(UInt16(layer))
            fields.add(UInt32(position))
            if let source { fields.add(source.number) }
        case .linearRing(let layer, let site, let groups):
            fields.add(UInt16(layer))
            fields.add(site.rawValue)
            if let groups {
                fields.add(UInt16(groups.count))
                for group in groups { fields.add(UInt16(group)) }
            }
        case .padProducts(let layer, let site, let seed, let first, let rows):
            fields.add(UInt16(layer))
            fields.add(site.rawValue)
            for byte in seed.bytes { fields.add(byte) }
            fields.add(UInt32(first))
            fields.add(UInt32(rows))
        case .release(let slot): fields.add(slot.number)
        case .stats: break
        }
        switch payload {
        case .none: return Message(head: head, fields: fields.bytes)
        case .rows(let tensor):
            guard !tensor.isInGroups else {
                head.setShape(tensor.words)
                return Message(head: head, fields: fields.bytes, tensor: .words(tensor.words))
            }
            head.setShape(tensor)
            return Message(head: head, fields: fields.bytes, tensor: .floats(tensor.values))
        case .ring(let tensor):
            head.setShape(tensor)
            return Message(head: head, fields: fields.bytes, tensor: .words(tensor.values))
        case .permutation(let rows):
            head.setShape(rows)
            return Message(head: head, fields: fields.bytes, tensor: .words(rows))
        }
    }

    /// Reads a request from its message.
    ///
    /// - Throws: ``LinkError/malformedFrame(_:)``. Whether the numbers fit the model is not checked here; the worker
    ///   checks that.
    public init(_ message: Message) throws(LinkError) { try self.init(message, largestTensor: .max) }

    /// Reads a request whose tensor has at most `largestTensor` bytes in float32.
    ///
    /// A tensor that was sent in groups is larger in float32 than it was on the wire.
    init(_ message: Message, largestTensor: Int) throws(LinkError) {
        var fields = FieldReader(message.fields)
        let operation: Operation
        var layouts: [TensorLayout] = []
        switch message.head.kind {
        case .linear:
            let layer = Int(try fields.take(UInt16.self))
            let site = try fields.takeSite()
            let slot = try fields.takeSlot()
            let exact = try fields.take(UInt8.self)
            guard exact <= 1 else { throw .malformedFrame("an exactness of \(exact)") }
            operation = .linear(layer: layer, site: site, slot: slot, exact: exact == 1)
        case .attention:
            let layer = Int(try fields.take(UInt16.self))
            let count = Int(try fields.take(UInt32.self))
            guard (1...AttentionPart.limit).contains(count) else {
                throw .malformedFrame("an attention of \(count) parts")
            }
            var parts: [AttentionPart] = []
            for _ in 0..<count {
                parts.append(
                    AttentionPart(
                        slot: try fields.takeSlot(), position: Int(try fields.take(UInt32.self)),
                        queries: Int(try fields.take(UInt32.self)), keys: Int(try fields.take(UInt32.self))))
                layouts.append(try fields.takeLayout())
            }
            operation = .attention(layer: layer, parts: parts)
        case .feedForward: operation = .feedForward(layer: Int(try fields.take(UInt16.self)))
        case .headTopK: operation = .headTopK(count: Int(try fields.take(UInt32.self)))
        case .unlock:
            operation = .unlock(
                slot: Slot(number: try fields.take(UInt32.self)), layer: Int(try fields.take(UInt16.self)),
                position: Int(try fields.take(UInt32.self)),
                // This field was added within version 3; programs that do not know it end before it.
                from: try fields.isAtEnd ? nil : Slot(number: fields.take(UInt32.self)))
        case .lockTail:
            operation = .lockTail(
                slot: Slot(number: try fields.take(UInt32.self)), layer: Int(try fields.take(UInt16.self)))
        case .middle:
            let first = Int(try fields.take(UInt16.self))
            let end = Int(try fields.take(UInt16.self))
            guard first < end else { throw .malformedFrame("blocks \(first) to \(end)") }
            var segments = try fields.takeSegments()
            // These fields were added within version 3; programs that do not know them end before them.
            if !fields.isAtEnd {
                segments = try segments.map { segment throws(LinkError) in
                    let mutual = try fields.take(UInt8.self)
                    guard mutual <= 1 else { throw .malformedFrame("a direction of attention \(mutual)") }
                    return Segment(
                        slot: segment.slot, position: segment.position, rows: segment.rows,
                        isMutual: mutual == 1)
                }
            }
            operation = .middle(blocks: first..<end, segments: segments)
        case .tailScores:
            operation = .tailScores(
                layer: Int(try fields.take(UInt16.self)), segments: try fields.takeSegments())
        case .release: operation = .release(slot: Slot(number: try fields.take(UInt32.self)))
        case .stats: operation = .stats
        case .linearRing:
            operation = .linearRing(
                layer: Int(try fields.take(UInt16.self)), site: try fields.takeSite(),
                // This field was added within version 3; programs that do not know it end before it.
                groups: try fields.isAtEnd ? nil : fields.takeGroups())
        case .padProducts:
            let (layer, site) = (Int(try fields.take(UInt16.self)), try fields.takeSite())
            var seed: [UInt8] = []
            for _ in 0..<PadSeed.byteCount { seed.append(try fields.take(UInt8.self)) }
            let (first, rows) = (Int(try fields.take(UInt32.self)), Int(try fields.take(UInt32.self)))
            guard (1...PadSeed.rowLimit).contains(rows) else { throw .malformedFrame("pads of \(rows) rows") }
            operation = .padProducts(
                layer: layer, site: site, seed: PadSeed(bytes: seed), first: first, rows: rows)
        case .hello, .failure, .more:
            throw .malformedFrame("'\(message.head.kind)' is no request that can be served here")
        }
        try fields.finish()
        switch (operation, message.tensor) {
        case (.release, .none), (.stats, .none), (.padProducts, .none): self.init(received: operation, .none)
        case (.linearRing, .words(let values)):
            self.init(
                received: operation,
                .ring(
                    RingTensor(received: values, rows: message.head.rows, channels: message.head.channels)))
        case (.unlock, .words(let rows)): self.init(received: operation, .permutation(rows))
        case (.attention, .words(let words)):
            guard message.head.rows == 1 else {
                throw .malformedFrame("groups in \(message.head.rows) rows")
            }
            let channels = layouts.reduce(0) { $0 + $1.channels }
            guard channels <= largestTensor / 4 else {
                throw .malformedFrame("\(channels) values, the limit is \(largestTensor) bytes")
            }
            self.init(received: operation, .rows(try EncodedTensor(received: words, layouts)))
        case (.release, _), (.stats, _), (.unlock, _), (.linearRing, _), (.padProducts, _), (_, .none),
            (_, .words):
            throw .malformedFrame("'\(message.head.kind)' with a payload of another kind")
        case (_, .floats(let values)):
            let (rows, channels) = (message.head.rows, message.head.channels)
            guard
                layouts.isEmpty
                    || layouts.allSatisfy({ $0.precision == .float32 })
                        && layouts.reduce(0, { $0 + $1.channels }) == channels
            else { throw .malformedFrame("parts that do not fit \(channels) values in float32") }
            self.init(
                received: operation,
                .rows(EncodedTensor(received: values, rows: rows, channels: channels, layouts: layouts)))
        }
    }
}

extension Answer {
    /// Makes the message that carries the answer to a request.
    public func message(to request: MessageKind, number: UInt64) -> Message {
        var head = FrameHead(kind: request, isAnswer: true, number: number)
        switch self {
        case .done: return Message(head: head)
        case .tensor(let tensor):
            head.setShape(tensor)
            return Message(head: head, tensor: .floats(tensor.values))
        case .ring(let tensor):
            head.setShape(tensor)
            return Message(head: head, tensor: .words(tensor.values))
        case .float64(let tensor):
            (head.elements, head.rows, head.channels) = (.uint32, tensor.rows, 2 * tensor.channels)
            return Message(head: head, tensor: .words(tensor.words))
        case .topK(let rows):
            // The logits of all rows come first, then the tokens of all rows, each as the bits of a 32-bit word.
            let all = rows.joined()
            head.elements = .uint32
            (head.rows, head.channels) = (rows.count, 2 * (rows.first?.count ?? 0))
            return Message(
                head: head,
                tensor: .words(all.map(\.logit.bitPattern) + all.map { UInt32(bitPattern: $0.token) }))
        case .statistics(let statistics):
            var fields = FieldWriter()
            for number in statistics.numbers { fields.add(UInt64(number)) }
            return Message(head: head, fields: fields.bytes)
        }
    }

    /// Reads the answer to a request from its message.
    ///
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` or ``LinkError/malformedFrame(_:)``, or the error that the worker
    ///   answered with.
    public init(_ message: Message, to request: Request) throws(LinkError) {
        if message.head.kind == .failure { throw try LinkError(message) }
        var fields = FieldReader(message.fields)
        guard message.head.kind == request.kind else {
            throw .unexpectedAnswer("'\(message.head.kind)' to '\(request.kind)'")
        }
        switch (request.operation, message.tensor) {
        case (.unlock, .none), (.lockTail, .none), (.release, .none):
            self = .done
        case (.stats, .none):
            var statistics = WorkerStatistics()
            var numbers: [Int] = []
            for _ in statistics.numbers { numbers.append(Int(clamping: try fields.take(UInt64.self))) }
            statistics.numbers = numbers
            self = .statistics(statistics)
        case (.headTopK(let count), .words(let words)):
            let rows = message.head.rows
            guard message.head.channels == 2 * count, words.count == 2 * rows * count else {
                throw .unexpectedAnswer("\(message.head.channels / 2) logits in a row, not \(count)")
            }
            self = .topK(
                (0..<rows).map { row in
                    (row * count..<(row + 1) * count).map { i in
                        TokenLogit(
                            token: Int32(bitPattern: words[rows * count + i]),
                            logit: Float(bitPattern: words[i]))
                    }
                })
        case (.linear(_, _, _, exact: true), .words(let words)):
            guard let tensor = Float64Tensor(words: words, rows: message.head.rows) else {
                throw .unexpectedAnswer("\(words.count) words, which are not rows of numbers of two each")
            }
            self = .float64(tensor)
        case (.linearRing, .words(let values)), (.padProducts, .words(let values)):
            self = .ring(
                RingTensor(received: values, rows: message.head.rows, channels: message.head.channels))
        case (.unlock, _), (.lockTail, _), (.release, _), (.stats, _), (.linearRing, _), (.padProducts, _),
            (.linear(_, _, _, exact: true), _):
            throw .unexpectedAnswer("an answer of another form")
        case (_, .floats(let values)):
            self = .tensor(
                EncodedTensor(received: values, rows: message.head.rows, channels: message.head.channels))
        default: throw .unexpectedAnswer("an answer of another form")
        }
        try fields.finish()
    }
}

extension LinkError {
    /// Reads the error from a message of kind ``MessageKind/failure``.
    ///
    /// - Throws: ``malformedFrame(_:)`` when it cannot be read.
    init(_ message: Message) throws(LinkError) {
        var fields = FieldReader(message.fields)
        let code = try fields.take(UInt16.self)
        self.init(code: code, reason: try fields.takeText())
    }
}

extension FrameHead {
    fileprivate mutating func setShape(_ tensor: EncodedTensor) {
        elements = .float32
        (rows, channels) = (tensor.rows, tensor.channels)
    }

    fileprivate mutating func setShape(_ tensor: RingTensor) {
        elements = .uint32
        (rows, channels) = (tensor.rows, tensor.channels)
    }

    fileprivate mutating func setShape(_ words: [UInt32]) {
        elements = .uint32
        (rows, channels) = (1, words.count)
    }
}

extension WorkerStatistics {
    /// The size of the counts as they are sent, in bytes.
    static var byteCount: Int { WorkerStatistics().numbers.count * 8 }

    /// The counts in the order in which they are sent.
    fileprivate var numbers: [Int] {
        get { [connections, slots, slotBytes, requests, batches, rows] }
        set {
            precondition(newValue.count == 6, "WorkerStatistics: six numbers")
            (connections, slots, slotBytes) = (newValue[0], newValue[1], newValue[2])
            (requests, batches, rows) = (newValue[3], newValue[4], newValue[5])
        }
    }
}

extension FieldWriter {
    /// Adds a slot's number, or the largest number for no slot.
    fileprivate mutating func add(_ slot: Slot?) { add(slot?.number ?? .max) }

    fileprivate mutating func add(_ segments: [Segment]) {
        add(UInt32(segments.count))
        for segment in segments {
            add(segment.slot.number)
            add(UInt32(segment.position))
            add(UInt32(segment.rows))
        }
    }

    fileprivate mutating func add(_ layout: TensorLayout) {
        add(layout.precision.rawValue)
        add(UInt32(layout.exactPrefix))
        add(UInt32(layout.channels))
    }
}

extension FieldReader {
    fileprivate mutating func takeSlot() throws(LinkError) -> Slot? {
        let number = try take(UInt32.self)
        return number == .max ? nil : Slot(number: number)
    }

    fileprivate mutating func takeSite() throws(LinkError) -> Site {
        let code = try take(UInt16.self)
        guard let site = Site(rawValue: code) else { throw .malformedFrame("unknown site \(code)") }
        return site
    }

    /// Reads which groups of a site are meant: their count, then their numbers, which must rise.
    fileprivate mutating func takeGroups() throws(LinkError) -> [Int] {
        var groups: [Int] = []
        for _ in 0..<(try take(UInt16.self)) {
            let group = Int(try take(UInt16.self))
            guard group > groups.last ?? -1 else { throw .malformedFrame("groups that do not rise") }
            groups.append(group)
        }
        guard !groups.isEmpty else { throw .malformedFrame("no groups") }
        return groups
    }

    fileprivate mutating func takeSegments() throws(LinkError) -> [Segment] {
        var segments: [Segment] = []
        for _ in 0..<(try take(UInt32.self)) {
            segments.append(
                Segment(
                    slot: Slot(number: try take(UInt32.self)), position: Int(try take(UInt32.self)),
                    rows: Int(try take(UInt32.self))))
        }
        return segments
    }

    fileprivate mutating func takeLayout() throws(LinkError) -> TensorLayout {
        let (precision, prefix) = (try take(UInt8.self), try take(UInt32.self))
        let channels = try take(UInt32.self)
        guard let layout = TensorLayout(precision: precision, exactPrefix: prefix, channels: channels) else {
            throw .malformedFrame("\(prefix) of \(channels) values before precision \(precision)")
        }
        return layout
    }
}

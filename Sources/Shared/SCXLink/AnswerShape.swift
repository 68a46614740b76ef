import SCXInference

/// The only shape that an answer may have: the type and size of its tensor and the size of its fields.
struct AnswerShape: Equatable, Sendable {
    /// The kind of the answer, as its head names it.
    var kind: MessageKind
    var elements = ElementCode.none
    var rows = 0
    var channels = 0
    /// How many bytes of fields there may be.
    var fields = 0...0

    /// The shape of a worker's hello: at most its numbers and two texts, and 4 KiB of fields that later versions may
    /// add.
    static let hello = AnswerShape(kind: .hello, fields: 0...1 << 12)

    /// The shape of a failure: a code and a text.
    static let failure = AnswerShape(kind: .failure, fields: 0...4 + Int(UInt16.max))

    /// Compares the head of an answer with this shape.
    ///
    /// - Throws: ``LinkError/unexpectedAnswer(_:)`` that names both.
    func check(_ head: FrameHead) throws(LinkError) {
        guard head.kind == kind else { throw .unexpectedAnswer("'\(head.kind)' to '\(kind)'") }
        guard head.elements == elements, head.rows == rows, head.channels == channels else {
            throw .unexpectedAnswer(
                "'\(kind)' with \(Self.text(head.elements, head.rows, head.channels)), "
                    + "\(Self.text(elements, rows, channels)) were asked")
        }
        guard fields.contains(head.fieldBytes) else {
            throw .unexpectedAnswer(
                "'\(kind)' with \(head.fieldBytes) bytes of fields, at most \(fields.upperBound) were asked")
        }
    }

    private static func text(_ elements: ElementCode, _ rows: Int, _ channels: Int) -> String {
        "\(rows) x \(channels) \(elements)"
    }
}

/// Tells the shapes of the answers on one connection.
///
/// An answer's shape follows from the model and its request alone, except that of ``Request/Operation/tailScores(layer:segments:)``:
/// it has a score for each key that the worker holds locked, so these are counted here.
struct AnswerShapes: Sendable {
    private struct Tail: Hashable {
        let slot: Slot
        let layer: Int
    }

    private let model: DecoderConfiguration
    /// The part of each site's outputs that the worker holds.
    var shard = Shard.whole
    /// For each slot and layer, how many keys are locked once all requests so far were served.
    private var locked: [Tail: Int] = [:]
    /// The earlier values of ``locked``, where a request without an answer yet has replaced them.
    private var replaced: [Tail: Int] = [:]

    init(of model: DecoderConfiguration) { self.model = model }

    /// Returns the shape of the answer to the connection's next request, and counts the keys that the request locks.
    mutating func expect(_ request: Request) -> AnswerShape {
        count(request)
        var shape = AnswerShape(kind: request.kind)
        func floats(_ rows: Int, _ channels: Int) {
            (shape.elements, shape.rows, shape.channels) = (.float32, rows, channels)
        }
        func words(_ rows: Int, _ channels: Int) {
            (shape.elements, shape.rows, shape.channels) = (.uint32, rows, channels)
        }
        let rows = request.rows
        switch request.operation {
        case .linear(let layer, let site, _, let exact):
            let outputs = model.outputs(of: DecoderSite(site, layer: layer))
            if exact { words(rows, 2 * outputs) } else { floats(rows, outputs) }
        case .attention(_, let parts):
            floats(1, parts.reduce(0) { $0 + $1.queries } * model.headCount * model.headSize)
        case .feedForward: floats(rows, model.hiddenSize)
        case .middle(let blocks, _):
            floats(rows, model.owner(of: .queryKeyValue(block: blocks.lowerBound)).hiddenSize)
        case .headTopK(let count):
            if count == model.vocabularySize { floats(rows, count) } else { words(rows, 2 * count) }
        case .tailScores(let layer, let segments):
            let keys = segments.reduce(0) { $0 + (locked[Tail(slot: $1.slot, layer: layer)] ?? 0) }
            floats(
                1, segments.count * 2 * model.keyValueHeadCount * model.headSize + keys * model.headCount)
        case .linearRing(let layer, let site, let groups): words(rows, ringOutputs(layer, site, groups))
        case .padProducts(let layer, let site, _, _, let rows): words(rows, ringOutputs(layer, site))
        case .stats:
            let size = WorkerStatistics.byteCount
            shape.fields = size...size
        case .unlock, .lockTail, .release: break
        }
        // A tensor without elements has no type, and a request without rows may only be answered without elements.
        if shape.rows * shape.channels == 0 { shape.elements = .none }
        return shape
    }

    /// Undoes the counting for a request that the worker refused, since such a request changes nothing.
    mutating func refused(_ request: Request) {
        switch request.operation {
        case .lockTail(let slot, let layer):
            let tail = Tail(slot: slot, layer: layer)
            locked[tail] = replaced.removeValue(forKey: tail)
        case .tailScores(let layer, let segments):
            for segment in segments { locked[Tail(slot: segment.slot, layer: layer)]? -= 1 }
        default: break
        }
    }

    private mutating func count(_ request: Request) {
        switch request.operation {
        case .lockTail(let slot, let layer):
            let tail = Tail(slot: slot, layer: layer)
            replaced[tail] = locked[tail]
            locked[tail] = request.rows
        case .tailScores(let layer, let segments):
            for segment in segments { locked[Tail(slot: segment.slot, layer: layer)]? += 1 }
        case .release(let slot):
            locked = locked.filter { $0.key.slot != slot }
            replaced = replaced.filter { $0.key.slot != slot }
        default: break
        }
    }

    private func ringOutputs(_ layer: Int, _ site: Site, _ groups: [Int]? = nil) -> Int {
        let site = DecoderSite(site, layer: layer)
        let all = model.groups(of: site)
        return shard.range(of: model.ringOutputs(of: site) / all).count * (groups?.count ?? all)
    }
}

extension Request {
    /// The number of rows of the request's tensor.
    fileprivate var rows: Int {
        switch payload {
        case .rows(let tensor): tensor.rows
        case .ring(let tensor): tensor.rows
        case .none, .permutation: 0
        }
    }
}

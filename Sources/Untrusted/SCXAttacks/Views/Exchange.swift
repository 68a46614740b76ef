public import SCXLink

/// A request as the worker received it, and its answer if the transcript has one.
public struct Exchange: Sendable {
    /// The number of the request among the transcript's messages, counted from 1.
    public let message: Int
    /// What it asked for this session; of several parts or segments, this session's.
    public let operation: Request.Operation
    public let request: TranscriptEntry
    public let answer: TranscriptEntry?
    /// The rows of a request of several sessions that belong to this one; all rows when that is not known.
    public let rows: Range<Int>
    /// The channels of a request's single row that belong to this session; nil if all do.
    public let channels: Range<Int>?
    /// The channels of an answer's single row that belong to this session; nil if all do, or when that is not known.
    public let answered: Range<Int>?
    /// Whether these are integers that are interpreted as an exchange of numbers in clear.
    ///
    /// ``operation`` is the kind of exchange for which they are taken; see ``RingSorter``.
    public var isReading = false

    /// The kind of request; for integers that are interpreted, the kind for which they are taken.
    public var kind: MessageKind { isReading ? operation.kind : request.kind }
    /// Whether it asked for an exact product, which is answered in float64.
    var isExact: Bool {
        guard case .linear(_, _, _, exact: true) = operation, !isReading else { return false }
        return answer?.elements == .uint32
    }
    public var layer: Int? { isReading ? operation.layer : request.layer }
    /// The site of the product that it asked for, if it asked for one.
    public var site: Site? {
        if case .linear(_, let site, _, _) = operation { return site }
        return nil
    }
}

/// The exchanges by which the same tokens went through the model: a part of a prompt, or one generated token.
public struct Step: Sendable {
    /// The positions of its tokens in the session; empty until a message has told them.
    public internal(set) var positions: Range<Int> = 0..<0
    /// The step's exchanges, in the order in which they were sent.
    public internal(set) var exchanges: [Exchange] = []
    /// How many rows each product of integers has; nil when there was none.
    public internal(set) var ringRows: Int?
    /// Whether it continues the prompt of the step before, as when rows were sent in two halves.
    public internal(set) var continuesPrompt = false
    /// Whether the logits of all its rows were asked for, as in a step after a prompt.
    public internal(set) var answersAllRows = false

    /// Whether it has one token after others, or several that were drafted.
    public var isGeneration: Bool { positions.lowerBound > 0 && (positions.count == 1 || answersAllRows) }

    /// Its exchanges as they were sent, without interpretations of integers.
    public var sent: [Exchange] { exchanges.filter { !$0.isReading } }

    /// The first exchange of this kind, site and layer.
    public func first(_ kind: MessageKind, layer: Int? = nil, site: Site? = nil) -> Exchange? {
        exchanges.first {
            $0.kind == kind && (layer == nil || $0.layer == layer) && (site == nil || $0.site == site)
        }
    }
}

/// One conversation, as far as the worker could distinguish it from others: a slot of a connection of a run.
public struct Session: Sendable {
    /// The run of the worker, counted from 0.
    public let run: Int
    public let connection: UInt64
    /// Nil when no message named a slot.
    public internal(set) var slot: Slot?
    /// The session's steps, in order.
    public internal(set) var steps: [Step] = []

    /// How many positions its messages mention.
    public var length: Int { steps.reduce(0) { max($0, $1.positions.upperBound) } }

    /// How many positions the first message has, as far as the worker can tell.
    public var promptLength: Int {
        guard let first = steps.first else { return 0 }
        return steps.dropFirst().prefix(while: \.continuesPrompt).reduce(first.positions.count) {
            $0 + $1.positions.count
        }
    }
}

extension Request.Operation {
    fileprivate var kind: MessageKind {
        switch self {
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

    fileprivate var layer: Int? {
        switch self {
        case .linear(let layer, _, _, _), .attention(let layer, _), .feedForward(let layer),
            .unlock(_, let layer, _, _), .lockTail(_, let layer), .tailScores(let layer, _),
            .linearRing(let layer, _, _), .padProducts(let layer, _, _, _, _):
            layer
        case .headTopK, .middle, .release, .stats: nil
        }
    }
}

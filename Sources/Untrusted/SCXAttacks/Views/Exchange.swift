public import SCXLink

/// A request as the worker received it, and its answer if the transcript has one.
public struct Exchange: Sendable {
    /// Number of the request among the transcript's messages, counted from 1.
    public let message: Int
    /// What it asked for this session: of several parts or segments this one's.
    public let operation: Request.Operation
    public let request: TranscriptEntry
    public let answer: TranscriptEntry?
    /// The rows of a request of several sessions that belong to this one; all of them where nothing tells which.
    public let rows: Range<Int>
    /// The channels of a request's one row that belong to this session; nil if all do.
    public let channels: Range<Int>?
    /// The channels of an answer's one row that belong to this session; nil if all do, or if nothing tells which.
    public let answered: Range<Int>?
    /// Whether it is integers taken for an exchange of numbers in clear.
    ///
    /// ``operation`` says of which kind: see ``RingSorter``.
    public var isReading = false

    /// What it asked for; of a reading, what it is taken for.
    public var kind: MessageKind { isReading ? operation.kind : request.kind }
    public var layer: Int? { isReading ? operation.layer : request.layer }
    /// The product that it asked for, if it asked for one.
    public var site: Site? {
        if case .linear(_, let site, _, _) = operation { return site }
        return nil
    }
}

/// Exchanges that carried the same tokens through the model: a prompt's part, or one generated token.
public struct Step: Sendable {
    /// Where its tokens stand in the session; empty while no message has told.
    public internal(set) var positions: Range<Int> = 0..<0
    public internal(set) var exchanges: [Exchange] = []
    /// Rows of each product of integers; nil where there was none.
    public internal(set) var ringRows: Int?
    /// Whether it carries on the prompt of the step before, as where rows went in two halves.
    public internal(set) var continuesPrompt = false
    /// Whether it was asked for continuations of all its rows, as a step after a prompt is.
    public internal(set) var answersAllRows = false

    /// Whether it carried one token after others, or several that were guessed ahead.
    public var isGeneration: Bool { positions.lowerBound > 0 && (positions.count == 1 || answersAllRows) }

    /// Its exchanges as they were sent, without readings of them.
    public var sent: [Exchange] { exchanges.filter { !$0.isReading } }

    /// The first exchange of this kind, site and layer.
    public func first(_ kind: MessageKind, layer: Int? = nil, site: Site? = nil) -> Exchange? {
        exchanges.first {
            $0.kind == kind && (layer == nil || $0.layer == layer) && (site == nil || $0.site == site)
        }
    }
}

/// One conversation, as the worker could tell it from others: a slot of a connection of a run.
public struct Session: Sendable {
    public let run: Int
    public let connection: UInt64
    /// Nil when no message named one.
    public internal(set) var slot: Slot?
    public internal(set) var steps: [Step] = []

    /// Positions that its messages speak of.
    public var length: Int { steps.reduce(0) { max($0, $1.positions.upperBound) } }

    /// Positions of the first message, as far as the worker can tell.
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
            .unlock(_, let layer, _), .lockTail(_, let layer), .tailScores(let layer, _),
            .linearRing(let layer, _), .padProducts(let layer, _, _, _, _):
            layer
        case .headTopK, .middle, .release, .stats: nil
        }
    }
}

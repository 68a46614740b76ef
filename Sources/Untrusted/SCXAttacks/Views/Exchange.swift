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

    public var kind: MessageKind { request.kind }
    public var layer: Int? { request.layer }
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

    /// Whether it carried one token after others.
    public var isGeneration: Bool { positions.count == 1 && positions.lowerBound > 0 }

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
}

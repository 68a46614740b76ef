import SCXInference
import SCXLink

/// Sorts requests into sessions and steps, divides those that several sessions share, and checks their shapes against
/// the model.
struct SessionSorter {
    let configuration: DecoderConfiguration
    private var sessions: [Session] = []
    /// For each connection the steps to which exchanges without a slot belong, in the order of their rows.
    private var open: [Connection: [OpenStep]] = [:]
    /// For each connection and slot the session that was not released yet.
    private var live: [Connection: [Slot?: Int]] = [:]
    /// For each connection the steps of products of integers alone, and the requests that belong to no such step.
    private var rings: [Connection: RingSorter] = [:]
    /// How many keys are locked, as far as the transcript tells.
    private var locked: [Tail: Int] = [:]

    private struct Connection: Hashable {
        let run: Int
        let number: UInt64
    }

    private struct OpenStep {
        var step = Step()
        /// The session, if it is known.
        var session: Int?
    }

    private struct Tail: Hashable {
        let connection: Connection
        let slot: Slot
        let layer: Int
    }

    /// The part of an exchange that belongs to one session.
    private struct Part {
        let exchange: Exchange
        var slot: Slot?
        var positions: Range<Int>?
    }

    init(configuration: DecoderConfiguration) { self.configuration = configuration }

    mutating func take(
        _ entry: TranscriptEntry, _ operation: Request.Operation, answer: TranscriptEntry?, message: Int
    ) throws(AttackError) {
        let connection = Connection(run: entry.run, number: entry.connection)
        try check(entry, operation, message)
        func exchange(
            _ own: Request.Operation, rows: Range<Int>? = nil, channels: Range<Int>? = nil,
            answered: Range<Int>? = nil
        ) -> Exchange {
            Exchange(
                message: message, operation: own, request: entry, answer: answer,
                rows: rows ?? 0..<entry.rows, channels: channels, answered: answered)
        }
        // The attacks know nothing of pictures.
        guard !isOfPictures(operation) else { return }
        switch operation {
        case .middle(let blocks, let segments):
            if blocks.lowerBound == 0 { close(connection) }
            var row = 0
            append(
                segments.map { segment in
                    let rows = row..<row + segment.rows
                    row = rows.upperBound
                    return Part(
                        exchange: exchange(.middle(blocks: blocks, segments: [segment]), rows: rows),
                        slot: segment.slot, positions: segment.position..<segment.position + segment.rows)
                }, to: connection)
        case .linear(let layer, let site, let slot, _):
            if layer == 0, site == .queryKeyValue { close(connection) }
            if let slot, open[connection]?.count ?? 1 == 1 {
                append([Part(exchange: exchange(operation), slot: slot)], to: connection)
            } else {
                // It is not known which row belongs to which session; rows of several are kept in a slot of no session.
                appendToAll(connection) { _, _ in exchange(operation) }
            }
        case .attention(let layer, let parts):
            append(attention(layer, parts, entry, exchange), to: connection)
        case .tailScores(let layer, let segments):
            append(tailScores(layer, segments, connection, answer, exchange), to: connection)
        case .unlock(let slot, let layer, _, _), .lockTail(let slot, let layer):
            if case .lockTail = operation, answer != nil {
                locked[Tail(connection: connection, slot: slot, layer: layer)] = entry.rows
            }
            append(exchange(operation), of: slot, on: connection)
        case .feedForward, .headTopK:
            appendToAll(connection) { index, count in
                exchange(operation, rows: count > 1 && count == entry.rows ? index..<index + 1 : nil)
            }
        case .release(let slot):
            close(connection)
            live[connection]?[slot] = nil
        case .linearRing(let layer, let site, _):
            let own = exchange(operation)
            // If rows in clear are sent on the connection too, integers are taken for a part of the same step.
            let isAlone = open[connection] == nil
            if isAlone, rings[connection, default: RingSorter(configuration)].take(own, layer, site) {
                return
            }
            // It is not known which row belongs to which session.
            appendToAll(connection) { _, _ in own }
        case .padProducts, .stats: break
        }
    }

    /// An attention's parts, each with its values of the request's row and of the answer.
    private func attention(
        _ layer: Int, _ parts: [AttentionPart], _ entry: TranscriptEntry,
        _ exchange: (Request.Operation, Range<Int>?, Range<Int>?, Range<Int>?) -> Exchange
    ) -> [Part] {
        let width = configuration.headCount * configuration.headSize
        var (sent, answered) = (0, 0)
        return zip(parts, entry.layouts).map { part, layout in
            let channels = sent..<sent + layout.channels
            let result = answered..<answered + part.queries * width
            (sent, answered) = (channels.upperBound, result.upperBound)
            let end = part.position + part.keys
            return Part(
                exchange: exchange(
                    .attention(layer: layer, parts: [part]), nil, parts.count > 1 ? channels : nil,
                    parts.count > 1 ? result : nil),
                slot: part.slot, positions: end - part.queries..<end)
        }
    }

    /// The segments of a request for scores, each with its values of the answer as long as all counts are known.
    private mutating func tailScores(
        _ layer: Int, _ segments: [Segment], _ connection: Connection, _ answer: TranscriptEntry?,
        _ exchange: (Request.Operation, Range<Int>?, Range<Int>?, Range<Int>?) -> Exchange
    ) -> [Part] {
        let heads = (configuration.headCount, configuration.keyValueHeadCount * configuration.headSize)
        var next: Int? = 0
        return segments.enumerated().map { row, segment in
            let tail = Tail(connection: connection, slot: segment.slot, layer: layer)
            if answer != nil { locked[tail]? += 1 }
            var answered: Range<Int>?
            if let start = next, let keys = locked[tail] {
                answered = start..<start + 2 * heads.1 + heads.0 * keys
            }
            next = answered?.upperBound
            return Part(
                exchange: exchange(
                    .tailScores(layer: layer, segments: [segment]), row..<row + 1, nil,
                    segments.count > 1 ? answered : nil),
                slot: segment.slot, positions: segment.position..<segment.position + 1)
        }
    }

    mutating func finish() -> [Session] {
        // Connections are sorted, so that reading a file twice gives the same sessions.
        for connection in open.keys.sorted(by: { ($0.run, $0.number) < ($1.run, $1.number) }) {
            close(connection)
        }
        for connection in rings.keys.sorted(by: { ($0.run, $0.number) < ($1.run, $1.number) }) {
            for steps in rings[connection]?.sessions() ?? [] {
                let index = session(connection, nil, new: true)
                sessions[index].steps = steps
            }
        }
        return sessions
    }

    /// Gives each open step its part of an exchange; steps of other sessions or positions are closed first.
    private mutating func append(_ parts: [Part], to connection: Connection) {
        var steps = open.removeValue(forKey: connection) ?? []
        if steps.count == 1, parts.count > 1, steps[0].step.positions.isEmpty, steps[0].session == nil {
            // Only now is it known how many sessions share the exchanges so far.
            steps = Array(repeating: steps[0], count: parts.count)
        }
        let fits =
            steps.count == parts.count
            && zip(steps, parts).allSatisfy { open, part in
                let positions = open.step.positions
                return (part.positions == nil || positions.isEmpty || part.positions == positions)
                    && (part.slot == nil || open.session.map { sessions[$0].slot == part.slot } ?? true)
            }
        if !fits {
            open[connection] = steps
            close(connection)
            steps = Array(repeating: OpenStep(), count: parts.count)
        }
        for (i, part) in parts.enumerated() {
            if let slot = part.slot { steps[i].session = session(connection, slot) }
            if let positions = part.positions { steps[i].step.positions = positions }
            steps[i].step.exchanges.append(part.exchange)
        }
        open[connection] = steps
    }

    /// Gives an exchange that names no session to all open steps.
    private mutating func appendToAll(
        _ connection: Connection, _ exchange: (_ index: Int, _ count: Int) -> Exchange
    ) {
        var steps = open.removeValue(forKey: connection) ?? [OpenStep()]
        for i in steps.indices { steps[i].step.exchanges.append(exchange(i, steps.count)) }
        open[connection] = steps
    }

    /// Gives an exchange between two steps to the session that it names: to the session's open step, or to its last
    /// one.
    private mutating func append(_ exchange: Exchange, of slot: Slot, on connection: Connection) {
        let session = live[connection]?[slot]
        if let session, let i = open[connection]?.firstIndex(where: { $0.session == session }) {
            open[connection]?[i].step.exchanges.append(exchange)
        } else if let session, let last = sessions[session].steps.indices.last {
            sessions[session].steps[last].exchanges.append(exchange)
        } else {
            append([Part(exchange: exchange, slot: slot)], to: connection)
        }
    }

    private mutating func close(_ connection: Connection) {
        for closed in open.removeValue(forKey: connection) ?? [] { close(closed, connection) }
    }

    private mutating func close(_ closed: OpenStep, _ connection: Connection) {
        guard let first = closed.step.exchanges.first else { return }
        var step = closed.step
        let session: Int
        if let known = closed.session {
            session = known
        } else if let last = lastSession(connection, step.positions),
            step.positions.isEmpty ? first.rows.count == 1 : step.positions.lowerBound > 0
        {
            session = last
        } else {
            session = self.session(connection, nil, new: true)
        }
        if step.positions.isEmpty {
            // The positions are not known, so the rows, including redundant ones, are taken for the tokens after
            // those before.
            let start = sessions[session].length
            step.positions = start..<max(start, min(start + first.rows.count, configuration.maximumLength))
        }
        sessions[session].steps.append(step)
    }

    /// The session that ends where the positions begin, or else the last one.
    private func lastSession(_ connection: Connection, _ positions: Range<Int>) -> Int? {
        func isOwn(_ session: Session) -> Bool {
            session.run == connection.run && session.connection == connection.number
        }
        return sessions.lastIndex { isOwn($0) && $0.length == positions.lowerBound }
            ?? sessions.lastIndex(where: isOwn)
    }

    private mutating func session(_ connection: Connection, _ slot: Slot?, new: Bool = false) -> Int {
        if !new, let index = live[connection]?[slot] { return index }
        sessions.append(Session(run: connection.run, connection: connection.number, slot: slot))
        live[connection, default: [:]][slot] = sessions.count - 1
        return sessions.count - 1
    }
}

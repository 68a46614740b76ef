import SCXInference
import SCXLink

/// Sorts requests into sessions and steps, and checks their shapes against the model.
struct SessionSorter {
    let configuration: DecoderConfiguration
    private var sessions: [Session] = []
    /// By connection: the step that exchanges without a slot belong to, and its session if that is known.
    private var open: [Connection: (step: Step, session: Int?)] = [:]
    /// By connection and slot: a session that was not released.
    private var live: [Connection: [Slot?: Int]] = [:]

    private struct Connection: Hashable {
        let run: Int
        let number: UInt64
    }

    init(configuration: DecoderConfiguration) { self.configuration = configuration }

    mutating func take(
        _ entry: TranscriptEntry, _ operation: Request.Operation, answer: TranscriptEntry?, message: Int
    ) throws(AttackError) {
        let connection = Connection(run: entry.run, number: entry.connection)
        try check(entry, operation, message)
        func exchange(_ rows: Range<Int>) -> Exchange {
            Exchange(message: message, operation: operation, request: entry, answer: answer, rows: rows)
        }
        let all = 0..<entry.rows
        switch operation {
        case .middle(let blocks, let segments):
            var row = 0
            for segment in segments {
                let rows = row..<row + segment.rows
                row = rows.upperBound
                let positions = segment.position..<segment.position + segment.rows
                if blocks.lowerBound == 0 || segments.count > 1 || open[connection] == nil {
                    close(connection)
                    open[connection] = (Step(), nil)
                }
                append(exchange(rows), to: connection, slot: segment.slot, positions)
            }
        case .linear(let layer, let site, let slot, _):
            if layer == 0, site == .queryKeyValue { begin(connection) }
            append(exchange(all), to: connection, slot: slot, nil)
        case .attention(_, let slot, let position, let queries, let keys):
            let end = position + keys
            append(exchange(all), to: connection, slot: slot, end - queries..<end)
        case .tailScores(let slot, _, let position):
            append(exchange(all), to: connection, slot: slot, position..<position + 1)
        case .unlock(let slot, _, _), .lockTail(let slot, _):
            append(exchange(all), to: connection, slot: slot, nil)
        case .feedForward, .headTopK:
            append(exchange(all), to: connection, slot: nil, nil)
        case .release(let slot):
            close(connection)
            live[connection]?[slot] = nil
        case .stats: break
        }
    }

    mutating func finish() -> [Session] {
        // In the order of connections, so that two readings of a file give the same sessions.
        for connection in open.keys.sorted(by: { ($0.run, $0.number) < ($1.run, $1.number) }) {
            close(connection)
        }
        return sessions
    }

    private mutating func begin(_ connection: Connection) {
        close(connection)
        open[connection] = (Step(), nil)
    }

    private mutating func append(
        _ exchange: Exchange, to connection: Connection, slot: Slot?, _ positions: Range<Int>?
    ) {
        if open[connection] == nil { open[connection] = (Step(), nil) }
        if let slot {
            let session = session(connection, slot)
            open[connection]?.session = session
        }
        guard var current = open[connection] else { return }
        open[connection] = nil  // so that the step is changed in place
        if let positions {
            if !current.step.positions.isEmpty, current.step.positions != positions {
                // Another session's turn, or a step that no exchange of the first block began.
                open[connection] = current
                close(connection)
                current = (Step(), slot.map { session(connection, $0) })
            }
            current.step.positions = positions
        }
        current.step.exchanges.append(exchange)
        open[connection] = current
    }

    private mutating func close(_ connection: Connection) {
        guard let (closed, index) = open.removeValue(forKey: connection), let first = closed.exchanges.first
        else { return }
        var step = closed
        let session: Int
        if let index {
            session = index
        } else if let last = lastSession(connection),
            step.positions.isEmpty ? first.rows.count == 1 : step.positions.lowerBound > 0
        {
            session = last
        } else {
            session = self.session(connection, nil, new: true)
        }
        if step.positions.isEmpty {
            // Nobody told: then its rows are taken for the tokens after those before, redundant ones included.
            let start = sessions[session].length
            step.positions = start..<max(start, min(start + first.rows.count, configuration.maximumLength))
        }
        sessions[session].steps.append(step)
    }

    private func lastSession(_ connection: Connection) -> Int? {
        sessions.lastIndex { $0.run == connection.run && $0.connection == connection.number }
    }

    private mutating func session(_ connection: Connection, _ slot: Slot?, new: Bool = false) -> Int {
        if !new, let index = live[connection]?[slot] { return index }
        sessions.append(Session(run: connection.run, connection: connection.number, slot: slot))
        live[connection, default: [:]][slot] = sessions.count - 1
        return sessions.count - 1
    }

    /// Checks that a request fits the model, as a worker would before it answers.
    private func check(
        _ entry: TranscriptEntry, _ operation: Request.Operation, _ message: Int
    ) throws(AttackError) {
        let c = configuration
        let (queries, keys) = (c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
        func layer(_ layer: Int) throws(AttackError) {
            guard layer < c.blockCount else {
                throw .message(message, reason: "block \(layer) of a model of \(c.blockCount)")
            }
        }
        func rows(_ channels: Int) throws(AttackError) {
            guard entry.elements == .float32, entry.rows > 0, entry.channels == channels else {
                throw .message(
                    message,
                    reason:
                        "'\(entry.kind)' of \(entry.rows) x \(entry.channels) \(entry.elements), where rows of "
                        + "\(channels) channels belong")
            }
        }
        switch operation {
        case .linear(let index, let site, _, _):
            try layer(index)
            switch site {
            case .queryKeyValue, .gateUp, .head: try rows(c.hiddenSize)
            case .output: try rows(queries)
            case .down: try rows(c.feedForwardSize)
            }
        case .feedForward(let index):
            try layer(index)
            try rows(c.hiddenSize)
        case .headTopK: try rows(c.hiddenSize)
        case .attention(let index, _, let position, let queryCount, let keyCount):
            try layer(index)
            guard position <= c.maximumLength, keyCount <= c.maximumLength - position, queryCount > 0,
                queryCount <= position + keyCount, entry.rows == 1,
                entry.layout?.channels == queryCount * queries + keyCount * 2 * keys
            else {
                throw .message(
                    message,
                    reason:
                        "'attention' of \(entry.channels) numbers for \(queryCount) queries and \(keyCount) "
                        + "keys at position \(position)")
            }
        case .middle(let blocks, let segments):
            guard blocks.upperBound <= c.blockCount else {
                throw .message(
                    message, reason: "block \(blocks.upperBound - 1) of a model of \(c.blockCount)")
            }
            try rows(c.hiddenSize)
            var count = 0
            for segment in segments {
                guard segment.rows > 0, segment.position <= c.maximumLength,
                    segment.rows <= c.maximumLength - segment.position
                else { throw .message(message, reason: "a segment beyond the model's length") }
                count += segment.rows
            }
            guard count == entry.rows else {
                throw .message(message, reason: "segments of \(count) rows, a tensor of \(entry.rows)")
            }
        case .tailScores(_, let index, let position):
            try layer(index)
            try rows(c.hiddenSize)
            guard position < c.maximumLength else { throw .message(message, reason: "position \(position)") }
        case .lockTail(_, let index):
            try layer(index)
            try rows(keys)
        case .unlock(_, let index, _):
            try layer(index)
            guard entry.elements == .uint32 else { throw .message(message, reason: "'unlock' without rows") }
        case .release, .stats: break
        }
    }
}

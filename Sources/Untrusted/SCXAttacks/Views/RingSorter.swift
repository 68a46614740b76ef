import SCXInference
import SCXLink

/// Sorts one connection's products of integers into steps and sessions, and takes them for what attacks look for.
///
/// Profile `sealed` names no session. But each step asks for all sites in their order, so a request belongs to the oldest
/// step that waits for its site, and rows in two halves that take turns are told apart. A prompt asks for the
/// continuation of its last row only, a step after it for those of all its rows; so a session begins where fewer
/// continuations than rows are asked for.
///
/// Attacks look for numbers in clear. So that they are tried here too, the integers are offered as those: what goes into
/// a product as that block's inputs, what comes out of it as its queries, keys and values.
struct RingSorter {
    private let configuration: DecoderConfiguration
    private var steps: [RingStep] = []

    fileprivate struct RingStep {
        let rows: Int
        var exchanges: [(layer: Int, site: Site, exchange: Exchange)] = []
        /// How many continuations were asked for; 0 while none.
        var headRows = 0
        /// Whether another step was under way when it began.
        let isSecondHalf: Bool
        var isOpen = true
    }

    init(_ configuration: DecoderConfiguration) { self.configuration = configuration }

    /// Takes a request; false when no step waits for it.
    mutating func take(_ exchange: Exchange, _ layer: Int, _ site: Site) -> Bool {
        let rows = exchange.request.rows
        if layer == 0, site == .queryKeyValue {
            // A step that never got beyond this request was sent again, after a failure.
            let isSecondHalf = steps.contains { $0.isOpen && !$0.isDone(configuration.blockCount) }
            steps.append(
                RingStep(rows: rows, exchanges: [(layer, site, exchange)], isSecondHalf: isSecondHalf))
            return true
        }
        guard
            let step = steps.indices.first(where: { index in
                let step = steps[index]
                guard step.isOpen, let last = step.exchanges.last else { return false }
                let next = following(last.layer, last.site)
                return next.layer == layer && next.site == site && (site == .head || step.rows == rows)
            })
        else { return false }
        steps[step].exchanges.append((layer, site, exchange))
        if site == .head {
            steps[step].headRows = rows
            steps[step].isOpen = false
        }
        // Steps before it that wait for nothing any more had no continuation to ask for.
        for index in steps.indices where index < step && steps[index].isDone(configuration.blockCount) {
            steps[index].isOpen = false
        }
        return true
    }

    private func following(_ layer: Int, _ site: Site) -> (layer: Int, site: Site) {
        switch site {
        case .queryKeyValue: (layer, .output)
        case .output: (layer, .gateUp)
        case .gateUp: (layer, .down)
        case .down: layer + 1 < configuration.blockCount ? (layer + 1, .queryKeyValue) : (0, .head)
        case .head: (-1, .head)
        }
    }

    /// The steps of each session, with readings.
    func sessions() -> [[Step]] {
        var sessions: [[Step]] = []
        var length = 0
        var isOngoing = false
        for step in steps {
            let isPrompt = step.headRows < step.rows
            if sessions.isEmpty || isPrompt && !isOngoing {
                sessions.append([])
                length = 0
            }
            let rows = min(step.rows, max(0, configuration.maximumLength - length))
            var made = Step()
            made.positions = length..<length + rows
            made.ringRows = step.rows
            made.continuesPrompt = isPrompt && isOngoing
            made.answersAllRows = !isPrompt
            made.exchanges = step.exchanges.map(\.exchange) + readings(step, made.positions)
            length += rows
            // A prompt's part that asks for no continuation is followed by the rest.
            isOngoing = isPrompt && step.headRows == 0
            sessions[sessions.count - 1].append(made)
        }
        return sessions
    }

    /// The step's products as exchanges in clear.
    private func readings(_ step: RingStep, _ positions: Range<Int>) -> [Exchange] {
        guard positions.count == step.rows else { return [] }
        var found: [Exchange] = []
        let slot = Slot(number: 0)
        for (layer, site, exchange) in step.exchanges {
            func add(_ operation: Request.Operation, answer: TranscriptEntry?) {
                found.append(
                    Exchange(
                        message: exchange.message, operation: operation, request: exchange.request,
                        answer: answer, rows: exchange.rows, channels: nil, answered: nil, isReading: true))
            }
            switch site {
            case .queryKeyValue:
                let segment = Segment(slot: slot, position: positions.lowerBound, rows: step.rows)
                let next = step.exchanges.first {
                    layer + 1 < configuration.blockCount
                        ? $0.layer == layer + 1 && $0.site == .queryKeyValue : $0.site == .head
                }
                let after = next?.exchange.request
                add(
                    .middle(blocks: layer..<layer + 1, segments: [segment]),
                    answer: after?.rows == step.rows ? after : nil)
                // A worker that holds a part of the weights answers a part of the columns.
                let width =
                    (configuration.headCount + 2 * configuration.keyValueHeadCount) * configuration.headSize
                guard exchange.answer?.channels == width, exchange.answer?.rows == step.rows else {
                    add(.linear(layer: layer, site: site, slot: nil, exact: true), answer: nil)
                    break
                }
                add(.linear(layer: layer, site: site, slot: nil, exact: true), answer: exchange.answer)
                let part = AttentionPart(
                    position: positions.lowerBound, queries: step.rows, keys: step.rows)
                add(.attention(layer: layer, parts: [part]), answer: exchange.answer)
                add(
                    .unlock(slot: slot, layer: layer, position: positions.lowerBound),
                    answer: exchange.answer)
            case .output:
                add(.linear(layer: layer, site: site, slot: nil, exact: true), answer: exchange.answer)
            case .gateUp: add(.feedForward(layer: layer), answer: nil)
            case .down: break
            case .head: add(.headTopK(count: 1), answer: nil)
            }
        }
        return found
    }
}

extension RingSorter.RingStep {
    /// Whether all but a continuation was asked for.
    fileprivate func isDone(_ blocks: Int) -> Bool {
        guard let last = exchanges.last else { return false }
        return last.site == .head || last.layer == blocks - 1 && last.site == .down
    }
}

extension Views {
    /// Integers as an adversary would take them for numbers: with their signs, each row scaled to a mean square of 1.
    ///
    /// Nothing else is known of their scale, and the rows of a norm have about that.
    func read(_ entry: TranscriptEntry) throws(AttackError) -> Matrix {
        var values: [Float] = []
        values.reserveCapacity(entry.rows * entry.channels)
        let words = try words(of: entry)
        for start in stride(from: 0, to: words.count, by: entry.channels) {
            let row = words[start..<start + entry.channels]
            let square = row.reduce(0.0) { sum, word in
                sum + Double(Int32(bitPattern: word)) * Double(Int32(bitPattern: word))
            }
            let scale = square > 0 ? (Double(entry.channels) / square).squareRoot() : 0
            values += row.map { Float(Double(Int32(bitPattern: $0)) * scale) }
        }
        return Matrix(rows: entry.rows, columns: entry.channels, values: values)
    }

    /// A product's answer as queries, keys and values at their positions, rotated as the trusted side would.
    func readAttention(
        _ layer: Int, _ part: AttentionPart, _ exchange: Exchange
    ) throws(AttackError) -> AttentionRows? {
        guard var rows = try projected(of: exchange), rows.rows == part.keys else { return nil }
        let c = configuration
        let positions = part.position..<part.position + part.keys
        let table = RotaryTable(RotaryEmbedding(c.rope), positions: positions)
        let stride = rows.columns
        var span = rows.values.mutableSpan
        table.rotate(
            &span, offset: 0, stride: stride, heads: c.headCount + c.keyValueHeadCount,
            headSize: c.headSize)
        let (queryWidth, keyWidth) = (c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
        return AttentionRows(
            layer: layer, queryPositions: positions, keyPositions: positions,
            queries: rows.columns(0..<queryWidth), keys: rows.columns(queryWidth..<queryWidth + keyWidth),
            values: rows.columns(queryWidth + keyWidth..<rows.columns))
    }
}

import SCXInference
import SCXLink

/// Sorts one connection's products of integers into steps and sessions, and interprets them as what other attacks
/// look for.
///
/// Profile `sealed` names no session. But each step asks for all sites in their order, so a request belongs to the
/// oldest step that waits for its site, and rows in two halves that are computed in turn are distinguished. A prompt
/// asks for the logits of its last row only, and a step after it for those of all its rows. So a session begins where
/// logits of fewer rows than the step has are asked for.
///
/// Other attacks look for numbers in clear. So that they can be tried here too, the integers are interpreted as such:
/// the input of a product as that block's inputs, its result as the block's queries, keys and values.
struct RingSorter {
    private let configuration: DecoderConfiguration
    private var steps: [RingStep] = []

    fileprivate struct RingStep {
        let rows: Int
        var exchanges: [(layer: Int, site: Site, exchange: Exchange)] = []
        /// For how many rows logits were asked for; 0 while for none.
        var headRows = 0
        /// Whether another step was under way when it began.
        let isSecondHalf: Bool
        var isOpen = true
    }

    /// The model's sites, in the order in which a step asks for them.
    private let sites: [DecoderSite]

    init(_ configuration: DecoderConfiguration) {
        self.configuration = configuration
        var decoder = configuration
        decoder.vision = nil
        sites = decoder.sites
    }

    /// Adds a request to its step; false when no step waits for it.
    mutating func take(_ exchange: Exchange, _ layer: Int, _ site: Site) -> Bool {
        let rows = exchange.request.rows
        if layer == 0, site == .queryKeyValue {
            // A step that never got beyond this request was sent again after a failure.
            let isSecondHalf = steps.contains { $0.isOpen && !$0.isDone(sites) }
            steps.append(
                RingStep(rows: rows, exchanges: [(layer, site, exchange)], isSecondHalf: isSecondHalf))
            return true
        }
        let isExpert = site == .expertGateUp || site == .expertDown
        let waiting = steps.indices.first { index in
            let step = steps[index]
            guard step.isOpen, let last = step.exchanges.last else { return false }
            guard site == .head || isExpert || step.rows == rows else { return false }
            return following(last.layer, last.site) == DecoderSite(site, layer: layer)
        }
        // A product of experts may be divided among several requests, whose rows are not those of the step.
        let divided = steps.indices.first { index in
            guard isExpert, steps[index].isOpen, let last = steps[index].exchanges.last else { return false }
            return last.layer == layer && last.site == site
        }
        guard let step = waiting ?? divided else { return false }
        steps[step].exchanges.append((layer, site, exchange))
        if site == .head {
            steps[step].headRows = rows
            steps[step].isOpen = false
        }
        // Steps before it that wait for nothing else did not ask for logits.
        for index in steps.indices where index < step && steps[index].isDone(sites) {
            steps[index].isOpen = false
        }
        return true
    }

    private func following(_ layer: Int, _ site: Site) -> DecoderSite? {
        guard let place = sites.firstIndex(of: DecoderSite(site, layer: layer)) else { return nil }
        return place + 1 < sites.count ? sites[place + 1] : nil
    }

    /// The steps of each session, together with interpretations of their integers.
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
            // A part of a prompt for which no logits are asked is followed by the rest of the prompt.
            isOngoing = isPrompt && step.headRows == 0
            sessions[sessions.count - 1].append(made)
        }
        return sessions
    }

    /// The step's products, interpreted as exchanges in clear.
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
                // A worker that holds a shard of the weights answers only a part of the columns.
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
            case .queryUp, .queryLatent, .valueUp, .down, .expertGateUp, .expertDown: break
            case .head: add(.headTopK(count: 1), answer: nil)
            }
        }
        return found
    }
}

extension RingSorter.RingStep {
    /// Whether everything except the logits was asked for.
    fileprivate func isDone(_ sites: [DecoderSite]) -> Bool {
        guard let last = exchanges.last else { return false }
        let name = DecoderSite(last.site, layer: last.layer)
        return name == .head || name == sites.last { $0 != .head }
    }
}

extension Views {
    /// Integers interpreted as numbers: signed, with each row scaled to a mean square of 1.
    ///
    /// Nothing else is known about their scale, and rows after a norm have about that mean square.
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

    /// A product's answer interpreted as queries, keys and values at their positions, rotated as the trusted side
    /// would do it.
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

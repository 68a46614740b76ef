package import SCXEncoding
package import SCXInference
package import SCXLink

/// Profile `plain`: two exchanges a step, and nothing is hidden.
///
/// The worker runs all blocks on the embedded tokens and keeps the KV cache; a second exchange computes the logits of
/// the rows that need them. This is what an ordinary server computes, divided at the trust boundary, and therefore
/// the baseline of every overhead.
package final class PlainForwardPass: ForwardPass {
    private let embedding: TokenEmbedding
    private let blocks: Range<Int>
    private let configuration: DecoderConfiguration
    private let link: any WorkerLink
    package let pictures: PictureModel?

    package var splitsPrompts: Bool { configuration.isCausal }
    package var generates: Bool { configuration.hasHead }
    package var continuesSessions: Bool { configuration.isCausal }
    package var tokenKinds: Int { configuration.tokenTypeCount }

    /// Makes a forward pass without sessions.
    ///
    /// - Parameters:
    ///   - embedding: The model's embedding.
    ///   - configuration: The model's configuration.
    ///   - link: The link to the worker.
    ///   - pictures: What comes before and after the encoder of pictures; nil refuses pictures.
    package init(
        embedding: TokenEmbedding, configuration: DecoderConfiguration, link: any WorkerLink,
        pictures: PictureModel? = nil
    ) {
        self.pictures = pictures
        self.embedding = embedding
        blocks = 0..<configuration.blockCount
        self.configuration = configuration
        self.link = link
    }

    package var traffic: Traffic { link.traffic }

    package func runTower(_ rows: consuming Plaintext) throws(LinkError) -> [Float] {
        guard let pictures else { preconditionFailure("PlainForwardPass: no encoder of pictures") }
        let count = rows.rows
        // The worker keeps nothing of a picture, so any slot will do.
        let segment = Segment(slot: Slot(number: 0), position: 0, rows: count)
        let hidden = try tensor(
            link.exchange(
                Request(
                    .middle(blocks: configuration.towerBlocks, segments: [segment]), rows.sendInClear())),
            rows: count, channels: pictures.tower.encoder.hiddenSize)
        return pictures.normed(hidden.span)
    }

    package func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]] {
        var rows = embedding.rows(of: segments.map { ($0.tokens[...], $0.position, $0.kinds) })
        var first = 0
        for segment in segments {
            segment.inserted?.insert(into: &rows, from: first)
            first += segment.tokens.count
        }
        let hidden = try tensor(
            link.exchange(
                Request(
                    .middle(
                        blocks: blocks,
                        segments: segments.map {
                            Segment(
                                slot: $0.slot, position: $0.position, rows: $0.tokens.count,
                                isMutual: $0.isMutual)
                        }),
                    rows.sendInClear())),
            rows: segments.reduce(0) { $0 + $1.tokens.count }, channels: embedding.channels)
        var logits = try logits(of: hidden, segments)[...]
        var results: [[Float]] = []
        var row = 0
        for segment in segments {
            let rows = row..<row + segment.tokens.count
            switch segment.output {
            case .nothing: results.append([])
            case .lastLogits, .allLogits:
                let count = Self.logitRows(of: segment, at: rows).count * embedding.vocabularySize
                results.append(Array(logits.prefix(count)))
                logits = logits.dropFirst(count)
            case .hiddenStates:
                let channels = embedding.channels
                results.append(
                    embedding.normed(
                        hidden.span.extracting(rows.lowerBound * channels..<rows.upperBound * channels)))
            }
            row = rows.upperBound
        }
        return results
    }

    package func end(_ slot: Slot) throws(LinkError) { _ = try link.exchange(Request(.release(slot: slot))) }

    /// The rows of a segment whose logits are wanted.
    private static func logitRows(of segment: BatchSegment, at rows: Range<Int>) -> Range<Int> {
        switch segment.output {
        case .nothing, .hiddenStates: rows.upperBound..<rows.upperBound
        case .lastLogits: rows.upperBound - 1..<rows.upperBound
        case .allLogits: rows
        }
    }

    /// The logits of all rows that need them, in the order of the segments.
    private func logits(of hidden: [Float], _ segments: [BatchSegment]) throws(LinkError) -> [Float] {
        var wanted: [Range<Int>] = []
        var row = 0
        for segment in segments {
            wanted.append(Self.logitRows(of: segment, at: row..<row + segment.tokens.count))
            row += segment.tokens.count
        }
        let count = wanted.reduce(0) { $0 + $1.count }
        guard count > 0 else { return [] }
        var rows = Plaintext(rows: count, channels: embedding.channels)
        for (i, index) in wanted.joined().enumerated() {
            rows.withRow(i) { row in
                for c in row.indices { row[c] = hidden[index * embedding.channels + c] }
            }
        }
        let answer = try link.exchange(
            Request(.headTopK(count: embedding.vocabularySize), rows.sendInClear()))
        return try tensor(answer, rows: count, channels: embedding.vocabularySize)
    }

    /// Returns the values of an answer, or throws when it has another shape.
    private func tensor(_ answer: Answer, rows: Int, channels: Int) throws(LinkError) -> [Float] {
        guard case .tensor(let tensor) = answer, tensor.rows == rows, tensor.channels == channels else {
            throw .unexpectedAnswer("expected \(rows) rows of \(channels) channels")
        }
        return tensor.values
    }
}

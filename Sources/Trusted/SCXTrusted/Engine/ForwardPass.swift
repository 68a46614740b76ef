import SCXEncoding
package import SCXInference
package import SCXLink

/// Which rows of a segment need logits.
package enum LogitRows: Equatable, Sendable {
    case none, last, all
}

/// One session's tokens in a forward pass.
package struct BatchSegment: Equatable, Sendable {
    package let slot: Slot
    /// Position of the first token: the number of tokens of this session that were computed before.
    package let position: Int
    package let tokens: [Int32]
    package let logits: LogitRows

    package init(slot: Slot, position: Int, tokens: [Int32], logits: LogitRows) {
        self.slot = slot
        self.position = position
        self.tokens = tokens
        self.logits = logits
    }
}

/// How a profile computes: the exchanges that carry tokens to logits.
package protocol ForwardPass: AnyObject {
    /// Computes the tokens of all segments.
    ///
    /// - Returns: `[rows, vocabulary]` for the rows that ask for logits, in the order of the segments.
    func logits(_ segments: [BatchSegment]) throws(LinkError) -> [Float]

    /// Forgets a session here and on the worker.
    func end(_ slot: Slot) throws(LinkError)

    var traffic: Traffic { get }

    /// Whether a prompt may come in several segments.
    var splitsPrompts: Bool { get }
}

extension ForwardPass {
    package var splitsPrompts: Bool { true }
}

/// Profile `plain`: two exchanges, nothing hidden.
///
/// The worker runs all blocks on the embedded tokens and keeps the cache; a second exchange gives the logits of the
/// rows that need them. It is what an ordinary server computes, split at the trust boundary, and so the baseline of
/// every overhead.
package final class PlainForwardPass: ForwardPass {
    private let embedding: TokenEmbedding
    private let blocks: Range<Int>
    private let link: any WorkerLink

    package init(embedding: TokenEmbedding, configuration: DecoderConfiguration, link: any WorkerLink) {
        self.embedding = embedding
        blocks = 0..<configuration.blockCount
        self.link = link
    }

    package var traffic: Traffic { link.traffic }

    package func logits(_ segments: [BatchSegment]) throws(LinkError) -> [Float] {
        let hidden = try tensor(
            link.exchange(
                Request(
                    .middle(
                        blocks: blocks,
                        segments: segments.map {
                            Segment(slot: $0.slot, position: $0.position, rows: $0.tokens.count)
                        }),
                    embedding.rows(of: segments.flatMap(\.tokens)).sendInClear())),
            rows: segments.reduce(0) { $0 + $1.tokens.count }, channels: embedding.channels)
        guard let wanted = select(from: hidden, segments) else { return [] }
        let rows = wanted.rows
        let answer = try link.exchange(
            Request(.headTopK(count: embedding.vocabularySize), wanted.sendInClear()))
        return try tensor(answer, rows: rows, channels: embedding.vocabularySize)
    }

    package func end(_ slot: Slot) throws(LinkError) { _ = try link.exchange(Request(.release(slot: slot))) }

    /// The rows that need logits, or nil when none does.
    private func select(from hidden: [Float], _ segments: [BatchSegment]) -> Plaintext? {
        var wanted: [Range<Int>] = []
        var row = 0
        for segment in segments {
            let end = row + segment.tokens.count
            switch segment.logits {
            case .none: break
            case .last: wanted.append(end - 1..<end)
            case .all: wanted.append(row..<end)
            }
            row = end
        }
        guard !wanted.isEmpty else { return nil }
        var rows = Plaintext(rows: wanted.reduce(0) { $0 + $1.count }, channels: embedding.channels)
        for (i, index) in wanted.joined().enumerated() {
            rows.withRow(i) { row in
                for c in row.indices { row[c] = hidden[index * embedding.channels + c] }
            }
        }
        return rows
    }

    /// The values of an answer of the expected shape.
    private func tensor(_ answer: Answer, rows: Int, channels: Int) throws(LinkError) -> [Float] {
        guard case .tensor(let tensor) = answer, tensor.rows == rows, tensor.channels == channels else {
            throw .unexpectedAnswer("expected \(rows) rows of \(channels) channels")
        }
        return tensor.values
    }
}

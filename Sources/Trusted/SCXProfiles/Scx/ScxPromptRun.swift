import SCXEncoding
import SCXInference
import SCXLink

/// Stage 1: computes all tokens of a prompt together, block by block.
///
/// A session's first tokens take `4 · blocks + 1` exchanges. For tokens that follow others, the worker already holds
/// the keys and values of the middle blocks in clear, so it runs those blocks in one exchange on hidden states; the
/// first and last blocks are computed as for the first tokens.
final class ScxPromptRun: PromptRun {
    private let pass: ScxForwardPass
    private let session: ScxSession
    private let segment: BatchSegment
    private let table: RotaryTable
    private var hidden: Plaintext
    private var block = 0

    private var isFirst: Bool { segment.position == 0 }

    /// Embeds the tokens.
    ///
    /// - Parameters:
    ///   - pass: The forward pass to which the session belongs.
    ///   - session: The session, cut at the position where the segment begins.
    ///   - segment: The tokens.
    /// - Throws: ``LinkError`` when the order of earlier tokens cannot be shared.
    init(_ pass: ScxForwardPass, _ session: ScxSession, _ segment: BatchSegment) throws(LinkError) {
        self.pass = pass
        self.session = session
        self.segment = segment
        table = pass.layers.rotaryTable(
            positions: segment.position..<segment.position + segment.tokens.count)
        hidden = pass.embedding.rows(of: segment.tokens)
        if !isFirst { try pass.shareKeys(session) }
    }

    var progress: Double { Double(block) / Double(pass.blockCount) }

    func advance() throws(LinkError) -> [Float]? {
        do throws(LinkError) {
            try computeBlock()
            guard block == pass.blockCount else { return nil }
            session.count = segment.position + segment.tokens.count
            // The keys that the worker has locked lack the new tokens.
            for block in session.last { block.key = nil }
            return try pass.result(of: hidden, segment.output)
        } catch {
            pass.forget([segment.slot], error)
            throw error
        }
    }

    /// Computes the next block, or all middle blocks at once if the worker can.
    private func computeBlock() throws(LinkError) {
        if !isFirst, block == pass.middle.lowerBound, !pass.middle.isEmpty {
            hidden = try pass.runMiddle(
                hidden,
                [Segment(slot: session.slot, position: segment.position, rows: segment.tokens.count)])
            block = pass.middle.upperBound
            return
        }
        let attended = try pass.attend(session, block, hidden, table, isFirst: isFirst)
        hidden.add(try pass.output(attended, block))
        let exchange = pass.rowKey(hidden.rows, .feedForwardInput(block)).encode(hidden)
        let answer = try pass.link.exchange(Request(.feedForward(layer: block), exchange.tensor))
        hidden.add(try exchange.open(answer, channels: hidden.channels))
        block += 1
    }
}

import SCXEncoding
import SCXInference
import SCXLink

/// Stage 1: computes all tokens of one or more prompts together, block by block.
///
/// The first tokens of sessions take `4 · blocks + 1` exchanges, however many sessions share them: the rows of all are
/// in one secret order, among redundant rows whose number depends on how many there are in all. For tokens that follow
/// others, the worker already holds the keys and values of the middle blocks in clear, so it runs those blocks in one
/// exchange on hidden states; the first and last blocks are computed as for the first tokens. Nothing that one session
/// gets depends on the rows of another.
final class ScxPromptRun: PromptRun {
    /// A session's part of the run.
    struct Member {
        let session: ScxSession
        let segment: BatchSegment
        /// The range of the rows that belong to the session.
        var rows = 0..<0

        init(session: ScxSession, segment: BatchSegment) {
            (self.session, self.segment) = (session, segment)
        }
    }

    private let pass: ScxForwardPass
    private let isFirst: Bool
    /// The slot in which the worker keeps the rows of several sessions; nil for a single session, whose own slot has
    /// them.
    private let kept: SharedRows?
    private var members: [Member]
    private var table: RotaryTable
    private var hidden: Plaintext
    private var block = 0

    /// Embeds the tokens.
    ///
    /// - Parameters:
    ///   - pass: The forward pass to which the sessions belong.
    ///   - members: The sessions, each cut at the position where its segment begins: all at 0, or none.
    /// - Throws: ``LinkError`` when the order of earlier tokens cannot be shared.
    init(_ pass: ScxForwardPass, _ members: [Member]) throws(LinkError) {
        self.pass = pass
        self.members = members
        isFirst = members.allSatisfy { $0.segment.position == 0 }
        precondition(
            isFirst || members.allSatisfy { $0.segment.position > 0 }, "ScxPromptRun: first and later prompts"
        )
        kept = isFirst && members.count > 1 ? SharedRows(pass.unused) : nil
        hidden = pass.embedding.rows(of: members.flatMap(\.segment.tokens))
        table = pass.layers.rotaryTable(positions: 0..<0)
        number()
        if !isFirst { for member in members { try pass.shareKeys(member.session) } }
    }

    /// Assigns each session the range of its rows, and computes the rotation of all rows.
    private func number() {
        table = pass.layers.rotaryTable(positions: 0..<0)
        for i in members.indices {
            let segment = members[i].segment
            members[i].rows = table.tokens..<table.tokens + segment.tokens.count
            table.append(positions: segment.position..<segment.position + segment.tokens.count)
        }
    }

    var progress: Double { Double(block) / Double(pass.blockCount) }

    func drop(_ slot: Slot) {
        guard let index = members.firstIndex(where: { $0.segment.slot == slot }) else { return }
        members.remove(at: index)
        hidden = hidden.selecting(members.flatMap(\.rows))
        number()
    }

    func advance() throws(LinkError) -> [[Float]]? {
        guard !members.isEmpty else { return [] }
        do throws(LinkError) {
            try computeBlock()
            guard block == pass.blockCount else { return nil }
            for member in members {
                member.session.count = member.segment.position + member.segment.tokens.count
                // The keys that the worker has locked lack the new tokens.
                for block in member.session.last { block.key = nil }
            }
            return try pass.results(of: hidden, members)
        } catch {
            pass.forget(members.map(\.segment.slot), error)
            throw error
        }
    }

    /// Computes the next block, or all middle blocks at once if the worker can.
    private func computeBlock() throws(LinkError) {
        if !isFirst, block == pass.middle.lowerBound, !pass.middle.isEmpty {
            hidden = try pass.runMiddle(
                hidden,
                members.map {
                    Segment(
                        slot: $0.session.slot, position: $0.segment.position, rows: $0.segment.tokens.count)
                })
            block = pass.middle.upperBound
            return
        }
        let attended = try pass.attend(members, block, hidden, table, isFirst: isFirst, kept: kept)
        hidden.add(try pass.output(attended, block))
        let exchange = pass.rowKey(hidden.rows, .feedForwardInput(block)).encode(hidden)
        let answer = try pass.link.exchange(Request(.feedForward(layer: block), exchange.tensor))
        hidden.add(try exchange.open(answer, channels: hidden.channels))
        block += 1
    }
}

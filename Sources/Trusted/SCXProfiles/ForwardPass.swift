package import SCXEncoding
package import SCXLink

/// What a segment's tokens are computed for.
package enum SegmentOutput: Equatable, Sendable {
    /// Only for those that follow.
    case nothing
    /// The logits after the last token: `[vocabulary]`.
    case lastLogits
    /// The logits after each token: `[tokens, vocabulary]`.
    case allLogits
    /// The sum over the tokens of the hidden states after the final norm: `[hidden]`.
    case hiddenSum
}

/// One session's tokens in a forward pass.
package struct BatchSegment: Equatable, Sendable {
    package let slot: Slot
    /// Position of the first token: the number of tokens of this session that were computed before.
    package let position: Int
    package let tokens: [Int32]
    package let output: SegmentOutput

    package init(slot: Slot, position: Int, tokens: [Int32], output: SegmentOutput) {
        self.slot = slot
        self.position = position
        self.tokens = tokens
        self.output = output
    }
}

/// How a profile computes: the exchanges that carry tokens to logits.
///
/// Not thread-safe: one engine owns it.
package protocol ForwardPass: AnyObject {
    /// Computes the tokens of all segments.
    ///
    /// - Returns: For each segment what it asks for, row-major.
    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]]

    /// Begins tokens that cannot come in several segments, to be computed block by block between other work.
    ///
    /// - Returns: Nil when the segment is one that ``compute(_:)`` takes with others.
    func begin(_ segment: BatchSegment) throws(LinkError) -> (any PromptRun)?

    /// Forgets a session here and on the worker.
    func end(_ slot: Slot) throws(LinkError)

    /// Takes what is held here of a session out of memory; the worker keeps its part.
    ///
    /// - Parameters:
    ///   - slot: Of a session that no run computes.
    ///   - header: Bytes to leave free in front, for the caller.
    /// - Returns: What ``restore(_:_:from:)`` takes; nil when nothing is held, or what is held must stay.
    /// - Throws: ``LinkError``; the session is lost then.
    func store(_ slot: Slot, after header: Int) throws(LinkError) -> SecretBuffer<UInt8>?

    /// Takes back what was stored.
    ///
    /// - Parameters:
    ///   - slot: Of the session.
    ///   - bytes: From ``store(_:after:)``.
    ///   - header: Bytes in front that are the caller's.
    /// - Returns: False when it is of no use, since the worker's part is lost or the bytes are of something else.
    func restore(_ slot: Slot, _ bytes: borrowing SecretBuffer<UInt8>, from header: Int) -> Bool

    var traffic: Traffic { get }

    /// Whether a prompt may come in several segments.
    var splitsPrompts: Bool { get }

    /// What profile `sealed` tells of its pads and products; nil in the others.
    var sealedReport: SealedReport? { get }
}

extension ForwardPass {
    package func begin(_ segment: BatchSegment) throws(LinkError) -> (any PromptRun)? { nil }
    package func store(_ slot: Slot, after header: Int) throws(LinkError) -> SecretBuffer<UInt8>? { nil }
    package func restore(_ slot: Slot, _ bytes: borrowing SecretBuffer<UInt8>, from header: Int) -> Bool {
        false
    }
    package var splitsPrompts: Bool { true }
    package var sealedReport: SealedReport? { nil }

    /// Computes one segment.
    package func compute(_ segment: BatchSegment) throws(LinkError) -> [Float] {
        try compute([segment]).first ?? []
    }
}

/// Tokens on their way through the blocks.
package protocol PromptRun: AnyObject {
    /// The part of the work that is done, from 0 to 1.
    var progress: Double { get }

    /// Computes the next block.
    ///
    /// - Returns: What the segment asks for, once the last block is computed; nil before.
    /// - Throws: ``LinkError``; the run is of no use then.
    func advance() throws(LinkError) -> [Float]?
}

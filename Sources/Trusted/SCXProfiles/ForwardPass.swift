package import SCXEncoding
package import SCXLink

/// What the caller of a forward pass wants to know of a segment's tokens.
package enum SegmentOutput: Equatable, Sendable {
    /// Nothing; the tokens are only needed by those that follow.
    case nothing
    /// The logits after the last token: `[vocabulary]`.
    case lastLogits
    /// The logits after each token: `[tokens, vocabulary]`.
    case allLogits
    /// The hidden states after the final norm: `[tokens, hidden]`.
    case hiddenStates
}

/// Consecutive tokens of one session in a forward pass.
package struct BatchSegment: Equatable, Sendable {
    /// The session's slot.
    package let slot: Slot
    /// Position of the first token: the number of tokens of this session that were computed before.
    package let position: Int
    package let tokens: [Int32]
    /// The kind of each token, for encoders that distinguish the texts of a pair; empty where all are of kind 0.
    package let kinds: [Int32]
    /// What the caller wants to know of these tokens.
    package let output: SegmentOutput
    /// Rows of pictures in the place of some tokens' rows; nil for none.
    package let inserted: InsertedRows?
    /// Whether the tokens attend to each other in both directions; then they are computed in one piece.
    package let isMutual: Bool

    package init(
        slot: Slot, position: Int, tokens: [Int32], kinds: [Int32] = [], output: SegmentOutput,
        inserted: InsertedRows? = nil, isMutual: Bool = false
    ) {
        self.slot = slot
        self.position = position
        self.tokens = tokens
        self.kinds = kinds
        self.output = output
        self.inserted = inserted
        self.isMutual = isMutual
    }
}

/// How a profile computes: the exchanges with a worker that lead from tokens to logits.
///
/// Not thread-safe: one engine owns it.
package protocol ForwardPass: AnyObject {
    /// Computes the tokens of all segments.
    ///
    /// - Returns: For each segment what its ``BatchSegment/output`` asks for, row-major.
    func compute(_ segments: [BatchSegment]) throws(LinkError) -> [[Float]]

    /// Says whether a segment must be computed block by block, by ``begin(_:)``, and with which others it may be.
    ///
    /// - Returns: Nil when ``compute(_:)`` can compute the segment together with any others.
    func promptKind(of segment: BatchSegment) -> PromptKind?

    /// Begins segments whose tokens must be computed together; the caller computes them block by block, between other
    /// work.
    ///
    /// - Parameter segments: One or more of the same kind, of different sessions; only one if they are of kind
    ///   ``PromptKind/alone``.
    /// - Returns: The run; nil when ``compute(_:)`` computes the segments.
    /// - Throws: ``LinkError`` when the link fails or the worker refuses a request.
    func begin(_ segments: [BatchSegment]) throws(LinkError) -> (any PromptRun)?

    /// Forgets a session on the trusted side and on the worker.
    func end(_ slot: Slot) throws(LinkError)

    /// Takes what the trusted side holds of a session out of memory; the worker keeps its part.
    ///
    /// - Parameters:
    ///   - slot: The slot of a session that no run is computing.
    ///   - header: How many bytes to leave free at the beginning, for the caller.
    /// - Returns: The bytes that ``restore(_:_:from:)`` takes; nil when the trusted side holds nothing, or when it
    ///   must stay in memory.
    /// - Throws: ``LinkError``; then the session is lost.
    func store(_ slot: Slot, after header: Int) throws(LinkError) -> SecretBuffer<UInt8>?

    /// Restores what was stored.
    ///
    /// - Parameters:
    ///   - slot: The session's slot.
    ///   - bytes: From ``store(_:after:)``.
    ///   - header: How many bytes at the beginning are the caller's.
    /// - Returns: False when the session cannot go on, because the worker's part is lost or the bytes are of
    ///   something else.
    func restore(_ slot: Slot, _ bytes: borrowing SecretBuffer<UInt8>, from header: Int) -> Bool

    var traffic: Traffic { get }

    /// Whether a prompt may be divided into several segments. It may not where tokens attend to later ones.
    var splitsPrompts: Bool { get }

    /// Whether the model has an output head, so that there are logits.
    var generates: Bool { get }

    /// Whether the tokens of a session may be followed by more.
    var continuesSessions: Bool { get }

    /// How many kinds of tokens the model distinguishes.
    var tokenKinds: Int { get }

    /// What comes before and after the blocks of the model's encoder of pictures; nil when it takes none, or none in this
    /// profile.
    var pictures: PictureModel? { get }

    /// Runs the blocks of the encoder of pictures on one picture.
    ///
    /// - Parameter rows: From ``PictureModel/rows(of:)``.
    /// - Returns: The rows after the norm that follows the blocks, `[rows, channels]` of the encoder.
    /// - Throws: ``LinkError`` when the link fails or the worker refuses a request.
    /// - Precondition: There are ``pictures``.
    func runTower(_ rows: consuming Plaintext) throws(LinkError) -> [Float]

    /// Reports on the pads and products of profile `sealed`; nil in the other profiles.
    var sealedReport: SealedReport? { get }
}

extension ForwardPass {
    package func promptKind(of segment: BatchSegment) -> PromptKind? { nil }
    package func begin(_ segments: [BatchSegment]) throws(LinkError) -> (any PromptRun)? { nil }
    package func store(_ slot: Slot, after header: Int) throws(LinkError) -> SecretBuffer<UInt8>? { nil }
    package func restore(_ slot: Slot, _ bytes: borrowing SecretBuffer<UInt8>, from header: Int) -> Bool {
        false
    }
    package var splitsPrompts: Bool { true }
    package var generates: Bool { true }
    package var continuesSessions: Bool { true }
    package var tokenKinds: Int { 0 }
    package var sealedReport: SealedReport? { nil }
    package var pictures: PictureModel? { nil }
    package func runTower(_ rows: consuming Plaintext) throws(LinkError) -> [Float] {
        preconditionFailure("ForwardPass: no encoder of pictures")
    }

    /// Computes one picture: rows for a decoder, or one vector.
    ///
    /// - Parameter pixels: `[channels, height, width]`, as ``PictureModel/tower`` says.
    /// - Returns: As ``PictureModel/result(of:)``.
    /// - Throws: ``LinkError`` when the link fails or the worker refuses a request.
    /// - Precondition: There are ``pictures``, and `pixels` are of one picture.
    package func compute(picture pixels: ArraySlice<Float>) throws(LinkError) -> [Float] {
        guard let pictures else { preconditionFailure("ForwardPass: no encoder of pictures") }
        return pictures.result(of: try runTower(pictures.rows(of: pixels)))
    }

    /// Computes one segment.
    package func compute(_ segment: BatchSegment) throws(LinkError) -> [Float] {
        try compute([segment]).first ?? []
    }
}

/// Which segments of different sessions may be computed in one ``PromptRun``.
package enum PromptKind: Equatable, Sendable {
    /// A segment that shares its run with no other.
    case alone
    /// Segments that begin a session, which share a run with each other.
    case first
    /// Segments that follow earlier tokens, which share a run with each other.
    case later
}

/// Segments of one or more sessions whose tokens are computed together, block by block.
package protocol PromptRun: AnyObject {
    /// How much of the work is done, from 0 to 1.
    var progress: Double { get }

    /// Computes the next block.
    ///
    /// - Returns: For each segment what it asks for, in order, once the last block is computed; nil before that.
    /// - Throws: ``LinkError``; then the run cannot go on.
    func advance() throws(LinkError) -> [[Float]]?

    /// Goes on without a session; what was computed of it is lost.
    func drop(_ slot: Slot)
}

public import SCXInference

/// A session's place in the worker's memory: its keys and values.
///
/// Numbers are the trusted side's own and mean nothing on another connection.
public struct Slot: Hashable, Sendable {
    public let number: UInt32

    public init(number: UInt32) { self.number = number }
}

/// A fused product of a block with its weights.
public enum Site: UInt16, CaseIterable, Sendable {
    case queryKeyValue = 1
    case output, gateUp, down, head
}

extension DecoderSite {
    /// The decoder's name for a site of a request; the layer of the head is of no account.
    public init(_ site: Site, layer: Int) {
        self =
            switch site {
            case .queryKeyValue: .queryKeyValue(block: layer)
            case .output: .output(block: layer)
            case .gateUp: .gateUp(block: layer)
            case .down: .down(block: layer)
            case .head: .head
            }
    }

    /// The layer and the site of a request; the layer of the head is 0.
    public var named: (layer: Int, site: Site) {
        switch self {
        case .queryKeyValue(let block): (block, .queryKeyValue)
        case .output(let block): (block, .output)
        case .gateUp(let block): (block, .gateUp)
        case .down(let block): (block, .down)
        case .head: (0, .head)
        }
    }
}

/// Consecutive rows of a request that belong to one session.
public struct Segment: Equatable, Sendable {
    public let slot: Slot
    /// Position of the first row in its session, counted in tokens.
    public let position: Int
    public let rows: Int

    public init(slot: Slot, position: Int, rows: Int) {
        self.slot = slot
        self.position = position
        self.rows = rows
    }
}

/// Queries, keys and values of one session in an ``Request/Operation/attention(layer:parts:)``.
public struct AttentionPart: Equatable, Sendable {
    /// Parts of one request at most.
    public static let limit = 1 << 14

    /// What holds earlier keys and keeps these; nil when nothing is kept.
    public let slot: Slot?
    /// Where the slot's keys are cut before these are appended; 0 without a slot.
    public let position: Int
    public let queries: Int
    public let keys: Int

    public init(slot: Slot? = nil, position: Int = 0, queries: Int, keys: Int) {
        self.slot = slot
        self.position = position
        self.queries = queries
        self.keys = keys
    }
}

/// What the trusted side asks of the worker.
///
/// Only the trusted side can make one.
public struct Request: Equatable, Sendable {
    public enum Operation: Equatable, Sendable {
        /// Multiply the rows by a site's weights and add its bias: no norm before, no activation after.
        ///
        /// The layer of ``Site/head``, which belongs to none, is 0. Only ``Site/queryKeyValue`` takes a slot: the keys
        /// and values of the result then also stay there until ``unlock(slot:layer:position:)``, in the order of the rows and
        /// in place of those of an earlier request. An exact product is one in float32 whatever precision the worker
        /// holds its weights in: rows may carry noise that is many times larger than they are, and what rounding
        /// takes from a product with noise cannot be subtracted. Answered by a tensor `[rows, outputs]`.
        case linear(layer: Int, site: Site, slot: Slot?, exact: Bool)

        /// Causal attention over encoded queries, keys and values, which nothing is done to before.
        ///
        /// The tensor is one row, the parts one after the other, of which none sees another: `queries` rows of all
        /// query heads, then `keys` rows of keys and values side by side. The queries are those of the last positions,
        /// scores are scaled by 1 / √headSize, and the layer's sliding window applies. With a slot the keys are
        /// appended to the encoded ones that it holds for the layer, which are first cut at `position`; without one
        /// nothing is kept. No two parts have one slot. Only this tensor may travel in groups, each part in its own.
        /// Answered by one row: `[queries · heads · headSize]` of each part.
        case attention(layer: Int, parts: [AttentionPart])

        /// Norm, gate, up, activation and down of one block, without the residual. Answered by `[rows, hidden]`.
        case feedForward(layer: Int)

        /// Run the final norm and the head on the rows.
        ///
        /// Answered by ``Answer/topK(_:)``, or by a tensor of all logits when `count` is the vocabulary's size.
        case headTopK(count: Int)

        /// Make valid keys and values of the rows that ``linear(layer:site:slot:exact:)`` left in the slot, and free
        /// those.
        ///
        /// The payload is the permutation: for each position, from `position` on, the row that holds it. What the
        /// layer holds for ``middle(blocks:segments:)`` is first cut there, and ``middle(blocks:segments:)`` sees the
        /// new ones from now on. Rows that no position names are redundant; one may be named more than once. Answered
        /// by ``Answer/done``.
        case unlock(slot: Slot, layer: Int, position: Int)

        /// Keep these encoded keys, after the rotation, for ``tailScores(layer:segments:)``, in place of earlier ones.
        ///
        /// Rows of `keyValueHeads · headSize` channels. Answered by ``Answer/done``.
        case lockTail(slot: Slot, layer: Int)

        /// Run these blocks on the hidden states; keys and values go to the slot of each segment.
        ///
        /// A segment whose position lies before the end of its slot first cuts the slot there. Answered by
        /// `[rows, hidden]`: the hidden states after the last of the blocks.
        case middle(blocks: Range<Int>, segments: [Segment])

        /// For one hidden state of each session, the block's input: its key and value, and the scores of its queries
        /// against the session's locked keys.
        ///
        /// Segments have one row each, and no two have one slot. The worker applies the block's norm, its product and
        /// the rotation at a segment's position. The state's own key is locked behind the others first and stays, so
        /// each step adds one. Answered by one row, for each segment: the key after the rotation,
        /// `[keyValueHeads, headSize]`, the value likewise, then scores `[heads, locked]`, scaled by 1 / √headSize,
        /// before the softmax, without mask or sliding window, the state's own last.
        case tailScores(layer: Int, segments: [Segment])

        /// Multiply rows modulo 2³² by a site's int8 weights: no scales, no bias.
        ///
        /// The layer of ``Site/head`` is 0. Nothing is kept. Answered by a ring tensor `[rows, outputs]`, or by the
        /// columns that the worker has when it holds a shard.
        case linearRing(layer: Int, site: Site)

        /// Expand a seed to the pads of `rows` rows of a site's inputs, the first with number `first`, and multiply them
        /// as ``linearRing(layer:site:)`` does.
        ///
        /// Asked of a peer that sees no rows that depend on a text. Answered by a ring tensor `[rows, outputs]`.
        case padProducts(layer: Int, site: Site, seed: PadSeed, first: Int, rows: Int)

        /// Forget a session. Answered by ``Answer/done``.
        case release(slot: Slot)

        /// Answered by ``Answer/statistics(_:)``.
        case stats
    }

    /// What travels with a request.
    public enum Payload: Equatable, Sendable {
        case none
        case rows(EncodedTensor)
        case ring(RingTensor)
        case permutation([UInt32])
    }

    public let operation: Operation
    public let payload: Payload

    /// Bytes of its tensor.
    public var byteCount: Int {
        switch payload {
        case .none: 0
        case .rows(let tensor): tensor.byteCount
        case .ring(let tensor): tensor.byteCount
        case .permutation(let rows): 4 * rows.count
        }
    }

    /// - Precondition: There are rows; only those of an attention, which are as many parts as it names, may be in
    ///   groups.
    package init(_ operation: Operation, _ rows: EncodedTensor) {
        precondition(!rows.values.isEmpty, "Request: an empty tensor")
        if case .attention(_, let parts) = operation {
            precondition(
                rows.layouts.count == parts.count && parts.count <= AttentionPart.limit, "Request: parts")
        } else {
            precondition(!rows.isInGroups, "Request: only attention takes rows in groups")
        }
        self.operation = operation
        payload = .rows(rows)
    }

    /// - Precondition: There are rows.
    package init(_ operation: Operation, _ rows: RingTensor) {
        precondition(!rows.values.isEmpty, "Request: an empty tensor")
        self.operation = operation
        payload = .ring(rows)
    }

    /// - Precondition: There are rows.
    package init(_ operation: Operation, permutation: [UInt32]) {
        precondition(!permutation.isEmpty, "Request: an empty permutation")
        self.operation = operation
        payload = .permutation(permutation)
    }

    package init(_ operation: Operation) {
        self.operation = operation
        payload = .none
    }

    /// The codec's way in: a request that came over the wire, as it was sent.
    init(received operation: Operation, _ payload: Payload) {
        self.operation = operation
        self.payload = payload
    }
}

/// What the worker answers.
public enum Answer: Equatable, Sendable {
    case tensor(EncodedTensor)
    case ring(RingTensor)
    /// The largest logits of each row, in falling order, all rows alike in number.
    case topK([[TokenLogit]])
    case statistics(WorkerStatistics)
    case done

    /// Bytes of its tensor.
    public var byteCount: Int {
        switch self {
        case .tensor(let tensor): tensor.byteCount
        case .ring(let tensor): tensor.byteCount
        case .topK(let rows): rows.reduce(0) { $0 + $1.count } * 8
        case .statistics, .done: 0
        }
    }
}

/// A vocabulary entry and its logit.
public struct TokenLogit: Equatable, Sendable {
    public let token: Int32
    public let logit: Float

    public init(token: Int32, logit: Float) {
        self.token = token
        self.logit = logit
    }
}

/// Counts that a worker tells about itself, summed over all its connections.
public struct WorkerStatistics: Equatable, Sendable {
    public var connections = 0
    public var slots = 0
    /// Bytes of all slots.
    public var slotBytes = 0
    public var requests = 0
    /// Products that served requests of several connections at once count once.
    public var batches = 0
    /// Rows of tensors received.
    public var rows = 0

    public init() {}
}

public import SCXInference

/// The name of what the worker keeps of one session, such as its keys and values.
///
/// The trusted side chooses the number. It is valid only on its own connection.
public struct Slot: Hashable, Sendable {
    public let number: UInt32

    public init(number: UInt32) { self.number = number }
}

/// A place in the model where rows are multiplied by a matrix of weights; matrices with a common input are one site.
public enum Site: UInt16, CaseIterable, Sendable {
    case queryKeyValue = 1
    case output, gateUp, down, head, expertGateUp, expertDown, queryUp, queryLatent, valueUp
}

extension DecoderSite {
    /// Makes the decoder's name for a site of a request.
    ///
    /// For the head the layer is ignored.
    public init(_ site: Site, layer: Int) {
        self =
            switch site {
            case .queryKeyValue: .queryKeyValue(block: layer)
            case .output: .output(block: layer)
            case .gateUp: .gateUp(block: layer)
            case .down: .down(block: layer)
            case .head: .head
            case .expertGateUp: .expertGateUp(block: layer)
            case .expertDown: .expertDown(block: layer)
            case .queryUp: .queryUp(block: layer)
            case .queryLatent: .queryLatent(block: layer)
            case .valueUp: .valueUp(block: layer)
            }
    }

    /// The layer and the site by which a request names it; the layer of the head is 0.
    public var named: (layer: Int, site: Site) {
        switch self {
        case .queryKeyValue(let block): (block, .queryKeyValue)
        case .output(let block): (block, .output)
        case .gateUp(let block): (block, .gateUp)
        case .down(let block): (block, .down)
        case .expertGateUp(let block): (block, .expertGateUp)
        case .expertDown(let block): (block, .expertDown)
        case .queryUp(let block): (block, .queryUp)
        case .queryLatent(let block): (block, .queryLatent)
        case .valueUp(let block): (block, .valueUp)
        case .head: (0, .head)
        }
    }
}

/// Consecutive rows of a request that belong to one session.
public struct Segment: Equatable, Sendable {
    public let slot: Slot
    /// Position of the first row in its session, counted in tokens from 0.
    public let position: Int
    /// How many rows there are.
    public let rows: Int
    /// Whether the rows attend to each other in both directions, as those of a picture do in some models.
    public let isMutual: Bool

    public init(slot: Slot, position: Int, rows: Int, isMutual: Bool = false) {
        self.slot = slot
        self.position = position
        self.rows = rows
        self.isMutual = isMutual
    }
}

/// The queries, keys and values of one session in an ``Request/Operation/attention(layer:parts:)``.
public struct AttentionPart: Equatable, Sendable {
    /// The most parts of one request.
    public static let limit = 1 << 14

    /// The slot that holds the session's earlier keys and gets these; nil when the worker keeps nothing.
    public let slot: Slot?
    /// The position from which on the slot's keys are removed before these are appended; 0 without a slot.
    public let position: Int
    /// How many queries there are.
    public let queries: Int
    /// How many keys there are, each with its value.
    public let keys: Int

    public init(slot: Slot? = nil, position: Int = 0, queries: Int, keys: Int) {
        self.slot = slot
        self.position = position
        self.queries = queries
        self.keys = keys
    }
}

/// A request of the trusted side to the worker.
///
/// Only the trusted side can make one: the initializers are `package`.
public struct Request: Equatable, Sendable {
    /// The kinds of requests.
    public enum Operation: Equatable, Sendable {
        /// Multiply the rows by a site's weights and add its bias, without a norm before or an activation after.
        ///
        /// The layer of ``Site/head``, which belongs to no layer, is 0. Only ``Site/queryKeyValue`` may have a slot:
        /// then the worker also keeps the keys and values of the result there, in the order of the rows and in place
        /// of those of an earlier request, until ``unlock(slot:layer:position:from:)``. An exact product is computed in
        /// float64 from weights that are rounded for that (``PackedMatrix/roundedForExactSums(pool:)``), whatever
        /// precision the worker holds its weights in. It is needed for rows with noise that is many times larger than
        /// the rows: rounding errors of the noise's product could not be subtracted. Answered by a tensor
        /// `[rows, outputs]`; an exact product by ``Answer/float64(_:)``, to which the site's bias is not added.
        case linear(layer: Int, site: Site, slot: Slot?, exact: Bool)

        /// Compute causal attention over encoded queries, keys and values, to which nothing is done before.
        ///
        /// Scores are summed in float64 and rounded to float32 once, so that the client can make them independent of the
        /// order of the channels (``roundHeads(_:offset:stride:rows:heads:headSize:on:)``). The tensor is one row with the
        /// parts one after the other; no part attends to another. A part is `queries`
        /// rows of all query heads, then `keys` rows of keys, each followed by its values. The queries are those of
        /// the last positions, scores are scaled by 1 / √headSize, and the layer's sliding window applies. With a
        /// slot, the worker removes the encoded keys that it holds there for the layer from `position` on, and
        /// appends these; without a slot it keeps nothing. No two parts have the same slot. Only this tensor may
        /// travel in groups, each part in groups of its own. Answered by one row: `[queries · heads · headSize]` of
        /// each part.
        case attention(layer: Int, parts: [AttentionPart])

        /// Apply one block's norm, gate, up, activation and down, without adding the residual.
        ///
        /// Answered by `[rows, hidden]`.
        case feedForward(layer: Int)

        /// Apply the final norm and the head to the rows.
        ///
        /// Answered by ``Answer/topK(_:)``, or by a tensor of all logits when `count` is the vocabulary's size.
        case headTopK(count: Int)

        /// Compute valid keys and values of the rows that ``linear(layer:site:slot:exact:)`` left in the slot `from`,
        /// and keep them in `slot`.
        ///
        /// Without `from`, the rows are those in `slot` itself, and the worker frees them. Rows of another slot stay
        /// there, since they may belong to several sessions, until that slot is released.
        ///
        /// The payload is a permutation: for each position, from `position` on, the number of the row that belongs
        /// there. The worker first removes what the layer holds for ``middle(blocks:segments:)`` from `position` on;
        /// from now on ``middle(blocks:segments:)`` uses the new keys and values. Rows that no position names are
        /// redundant and are dropped; a row may be named more than once. Answered by ``Answer/done``.
        case unlock(slot: Slot, layer: Int, position: Int, from: Slot? = nil)

        /// Keep these encoded keys, to which the rotation (RoPE) was applied, for ``tailScores(layer:segments:)``, in
        /// place of earlier ones.
        ///
        /// The tensor has rows of `keyValueHeads · headSize` channels. Answered by ``Answer/done``.
        case lockTail(slot: Slot, layer: Int)

        /// Run these blocks on the hidden states; the slot of each segment gets the keys and values.
        ///
        /// If a segment's position is before the end of its slot, the worker first removes what the slot holds from
        /// there on. The blocks may be those of an encoder of pictures, which are numbered after the decoder's: then
        /// each segment is one picture, at position 0, and the slots get nothing. Answered by `[rows, hidden]`: the
        /// hidden states after the last of the blocks.
        case middle(blocks: Range<Int>, segments: [Segment])

        /// For one hidden state of each session, the block's input: compute its key and value, and the scores of its
        /// queries against the session's locked keys.
        ///
        /// Each segment has one row, and no two have the same slot. The worker applies the block's norm, its product
        /// and the rotation at the segment's position. It first appends the state's own key to the locked ones, where
        /// it stays, so that each step adds one. Answered by one row. For each segment it has the key after the
        /// rotation, `[keyValueHeads, headSize]`, the value in the same form, and the scores `[heads, locked]`, with
        /// that of the own key last, scaled by 1 / √headSize, before the softmax, without mask or sliding window.
        case tailScores(layer: Int, segments: [Segment])

        /// Multiply rows modulo 2³² by a site's int8 weights, without scales and bias.
        ///
        /// The layer of ``Site/head`` is 0. A site of experts has a matrix for each of them, and a row has channels for
        /// each matrix, one group after the other; the result has groups in the same order. With `groups`, which
        /// strictly rise, the rows have channels for these matrices alone. The worker keeps nothing. Answered by a ring
        /// tensor `[rows, outputs]`; a worker that holds a shard answers only the columns of each matrix that it has.
        case linearRing(layer: Int, site: Site, groups: [Int]? = nil)

        /// Expand a seed to the pads of `rows` rows of a site's inputs, and multiply them as
        /// ``linearRing(layer:site:groups:)`` does; `first` is the number of the first row.
        ///
        /// This is asked only of a peer that gets no rows that depend on a text. Answered by a ring tensor
        /// `[rows, outputs]`.
        case padProducts(layer: Int, site: Site, seed: PadSeed, first: Int, rows: Int)

        /// Forget a session's slot.
        ///
        /// Answered by ``Answer/done``.
        case release(slot: Slot)

        /// Tell counts of the work done so far.
        ///
        /// Answered by ``Answer/statistics(_:)``.
        case stats
    }

    /// The tensor that travels with a request.
    public enum Payload: Equatable, Sendable {
        case none
        case rows(EncodedTensor)
        case ring(RingTensor)
        case permutation([UInt32])
    }

    public let operation: Operation
    public let payload: Payload

    /// The size of the request's tensor as it is sent, in bytes.
    public var byteCount: Int {
        switch payload {
        case .none: 0
        case .rows(let tensor): tensor.byteCount
        case .ring(let tensor): tensor.byteCount
        case .permutation(let rows): 4 * rows.count
        }
    }

    /// Makes a request with rows.
    ///
    /// - Precondition: There are rows. Only the rows of an attention may be in groups; they then have as many parts
    ///   as the operation names.
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

    /// Makes a request with rows of integers.
    ///
    /// - Precondition: There are rows.
    package init(_ operation: Operation, _ rows: RingTensor) {
        precondition(!rows.values.isEmpty, "Request: an empty tensor")
        self.operation = operation
        payload = .ring(rows)
    }

    /// Makes a request with a permutation.
    ///
    /// - Precondition: There are rows.
    package init(_ operation: Operation, permutation: [UInt32]) {
        precondition(!permutation.isEmpty, "Request: an empty permutation")
        self.operation = operation
        payload = .permutation(permutation)
    }

    /// Makes a request without a tensor.
    package init(_ operation: Operation) {
        self.operation = operation
        payload = .none
    }

    /// Used by the decoder of messages: a request that came over the wire, as it was sent.
    init(received operation: Operation, _ payload: Payload) {
        self.operation = operation
        self.payload = payload
    }
}

/// The worker's answer to a request.
public enum Answer: Equatable, Sendable {
    case tensor(EncodedTensor)
    case ring(RingTensor)
    case float64(Float64Tensor)
    /// For each row the same number of its largest logits, the largest first.
    case topK([[TokenLogit]])
    case statistics(WorkerStatistics)
    case done

    /// The size of the answer's tensor as it is sent, in bytes.
    public var byteCount: Int {
        switch self {
        case .tensor(let tensor): tensor.byteCount
        case .ring(let tensor): tensor.byteCount
        case .float64(let tensor): tensor.byteCount
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

/// Counts that a worker reports about itself, summed over all its connections.
public struct WorkerStatistics: Equatable, Sendable {
    public var connections = 0
    public var slots = 0
    /// The size of all slots together, in bytes.
    public var slotBytes = 0
    /// Requests that were served.
    public var requests = 0
    /// Products that were computed.
    ///
    /// A product for requests of several connections counts once.
    public var batches = 0
    /// The number of rows of all tensors that the worker received.
    public var rows = 0

    public init() {}
}

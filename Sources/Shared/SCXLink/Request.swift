/// A session's place in the worker's memory: its keys and values.
public struct Slot: Hashable, Sendable {
    public let number: UInt32

    public init(number: UInt32) { self.number = number }
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

/// What the trusted side asks of the worker.
///
/// Only the trusted side can make one.
public struct Request: Sendable {
    public enum Operation: Equatable, Sendable {
        /// Run these blocks on the hidden states; keys and values go to the slot of each segment.
        ///
        /// Answered by ``Answer/tensor(_:)``: the hidden states after the last of them. A segment whose position lies
        /// before the end of its slot first cuts the slot there.
        case middle(blocks: Range<Int>, segments: [Segment])

        /// Run the final norm and the head.
        ///
        /// Answered by ``Answer/topK(_:)``, or by a tensor of all logits when `count` is the vocabulary's size.
        case headTopK(count: Int)
    }

    public let operation: Operation
    public let tensor: EncodedTensor

    package init(_ operation: Operation, _ tensor: EncodedTensor) {
        self.operation = operation
        self.tensor = tensor
    }
}

/// What the worker answers.
public enum Answer: Sendable {
    case tensor(EncodedTensor)
    /// The largest logits of each row, in falling order.
    case topK([[TokenLogit]])

    /// Bytes of its values.
    public var byteCount: Int {
        switch self {
        case .tensor(let tensor): tensor.byteCount
        case .topK(let rows): rows.reduce(0) { $0 + $1.count } * MemoryLayout<TokenLogit>.stride
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

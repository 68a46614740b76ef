import SCXEncoding
import SCXLink

/// Attention of a session in a first block, ready to travel beside that of others, with what opens its answer once.
final class PendingAttention {
    let part: AttentionPart
    let tensor: EncodedTensor
    /// Nil under the session's key, and when the answer is opened.
    private var exchange: AttentionExchange?
    private let state: ScxSession.FirstBlock

    /// Under a key of its own.
    init(_ part: AttentionPart, _ exchange: consuming AttentionExchange, _ state: ScxSession.FirstBlock) {
        self.part = part
        tensor = exchange.tensor
        self.exchange = consume exchange
        self.state = state
    }

    /// Under the session's key.
    init(reusing part: AttentionPart, _ tensor: EncodedTensor, _ state: ScxSession.FirstBlock) {
        self.part = part
        self.tensor = tensor
        self.state = state
    }

    /// Opens its part, which is the next of the answer.
    func open(_ answer: inout AnswerParts) throws(LinkError) -> Plaintext {
        if let exchange = exchange.take() { return try exchange.open(&answer) }
        let state = state  // the compiler cannot borrow the key of a property's property
        switch state.key {
        case .some(let key): return try key.openReusing(&answer, queries: part.queries)
        case .none: preconditionFailure("PendingAttention: opened before")
        }
    }
}

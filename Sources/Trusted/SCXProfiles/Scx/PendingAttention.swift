import SCXEncoding
import SCXLink

/// One session's attention, encoded to be sent together with those of other sessions, and what opens its answer once.
final class PendingAttention {
    let part: AttentionPart
    let tensor: EncodedTensor
    /// The exchange with its one-time key; nil when the session's key is used, and after the answer was opened.
    private var exchange: AttentionExchange?
    /// Has the session's key; nil when the exchange has a one-time key.
    private let state: ScxSession.FirstBlock?

    /// Makes one with a one-time key of its own.
    init(_ part: AttentionPart, _ exchange: consuming AttentionExchange) {
        self.part = part
        tensor = exchange.tensor
        self.exchange = consume exchange
        state = nil
    }

    /// Makes one that uses the session's key.
    init(reusing part: AttentionPart, _ tensor: EncodedTensor, _ state: ScxSession.FirstBlock) {
        self.part = part
        self.tensor = tensor
        self.state = state
    }

    /// Decodes its part, which is the next one of the answer.
    func open(_ answer: inout AnswerParts) throws(LinkError) -> Plaintext {
        if let exchange = exchange.take() { return try exchange.open(&answer) }
        // The compiler cannot borrow the key of a property's property.
        guard let state else { preconditionFailure("PendingAttention: opened before") }
        switch state.key {
        case .some(let key): return try key.openReusing(&answer, queries: part.queries)
        case .none: preconditionFailure("PendingAttention: opened before")
        }
    }
}

import SCXEncoding
import SCXLink

/// The attention of one session, encoded so that it can be sent with those of other sessions, and the key that opens
/// its answer, once.
final class PendingAttention {
    let part: AttentionPart
    let tensor: EncodedTensor
    /// The exchange with its one-time key; nil when the session's key is used, and after the answer was opened.
    private var exchange: AttentionExchange?
    /// Holds the session's key; nil when the exchange has a one-time key.
    private let state: ScxSession.FirstBlock?

    /// Makes an attention whose key is used for this exchange only.
    init(_ part: AttentionPart, _ exchange: consuming AttentionExchange) {
        self.part = part
        tensor = exchange.tensor
        self.exchange = consume exchange
        state = nil
    }

    /// Makes an attention that uses the session's key.
    init(reusing part: AttentionPart, _ tensor: EncodedTensor, _ state: ScxSession.FirstBlock) {
        self.part = part
        self.tensor = tensor
        self.state = state
    }

    /// Decodes this session's part of an answer, which must be the next part.
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

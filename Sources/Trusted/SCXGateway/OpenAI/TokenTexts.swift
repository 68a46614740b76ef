import SCXText

/// The texts of single tokens, as replies about probabilities have them.
struct TokenTexts: Sendable {
    private let tokenizer: Tokenizer?

    init(_ tokenizer: Tokenizer?) { self.tokenizer = tokenizer }

    /// The token's own bytes, which may be part of a character; nil without a tokenizer.
    func bytes(_ id: Int32) -> [UInt8]? { tokenizer?.bytes(of: id) }

    /// The token's text; without a tokenizer its number.
    func text(_ id: Int32) -> String {
        bytes(id).map { String(decoding: $0, as: UTF8.self) } ?? "token_id:\(id)"
    }

    /// The token's text, or its bytes where they are no text: different tokens as different names.
    func name(_ id: Int32) -> String {
        guard let bytes = bytes(id) else { return "token_id:\(id)" }
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let digits = bytes.map { ($0 < 16 ? "\\x0" : "\\x") + String($0, radix: 16) }
        return "bytes:" + digits.joined()
    }
}

/// A log-probability that JSON can hold.
func finite(_ logprob: Float) -> Double { Double(logprob.isFinite ? max(logprob, -9999) : -9999) }

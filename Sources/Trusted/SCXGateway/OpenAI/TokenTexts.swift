import SCXTrusted

/// The texts of single tokens, as replies about probabilities have them.
struct TokenTexts: Sendable {
    private let tokenizer: Tokenizer?
    /// A token that stands before another, since some decoders treat the first one differently, and its text.
    private let anchor: (token: Int32, text: [UInt8])?

    init(_ tokenizer: Tokenizer?) {
        self.tokenizer = tokenizer
        anchor = tokenizer.flatMap { tokenizer in
            tokenizer.id(for: "a").map { ($0, Array(tokenizer.decode([$0]).utf8)) }
        }
    }

    /// The token's own bytes, which may be part of a character; nil without a tokenizer.
    func bytes(_ id: Int32) -> [UInt8]? {
        guard let tokenizer, let spelling = tokenizer.token(for: id) else { return nil }
        if tokenizer.isSpecial(id) { return Array(spelling.utf8) }
        let text = tokenizer.decode([anchor?.token, id].compactMap { $0 }, skipSpecialTokens: false)
        let own = Array(text.utf8.dropFirst(anchor?.text.count ?? 0))
        guard text.unicodeScalars.contains("\u{FFFD}") else { return own }
        return Self.fallbackByte(spelling).map { [$0] } ?? Self.alphabetBytes(spelling) ?? own
    }

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

    /// The byte of a token such as `<0x0A>`.
    private static func fallbackByte(_ spelling: String) -> UInt8? {
        guard spelling.hasPrefix("<0x"), spelling.hasSuffix(">"), spelling.utf8.count == 6 else { return nil }
        return UInt8(spelling.dropFirst(3).dropLast(), radix: 16)
    }

    /// The bytes of a token spelt in GPT-2's alphabet: printable bytes stand for themselves, the others from U+0100 on.
    private static func alphabetBytes(_ spelling: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        for scalar in spelling.unicodeScalars {
            let value = scalar.value
            if let byte = UInt8(exactly: value), isPrintable(byte) {
                bytes.append(byte)
            } else if value >= 0x100, Int(value) < 0x100 + unprintable.count {
                bytes.append(unprintable[Int(value) - 0x100])
            } else {
                return nil
            }
        }
        return bytes
    }

    private static func isPrintable(_ byte: UInt8) -> Bool {
        (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
    }

    private static let unprintable = (UInt8.min...UInt8.max).filter { !isPrintable($0) }
}

/// A log-probability that JSON can hold.
func finite(_ logprob: Float) -> Double { Double(logprob.isFinite ? max(logprob, -9999) : -9999) }

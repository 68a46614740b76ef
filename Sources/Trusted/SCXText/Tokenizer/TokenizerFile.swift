import SCXInference

/// Reads the parts of a `tokenizer.json`, and of the `tokenizer_config.json` beside it.
///
/// Files come from strangers: every number is checked before it sizes or indexes anything, and no pipeline may make texts
/// endlessly longer. `truncation` and `padding` are left out, as they are by whoever serves a model.
struct TokenizerFile {
    let json: JSON
    let name: String
    /// `tokenizer_config.json`, null where there is none.
    let configuration: JSON

    /// How many times longer normalizers may make a text, in bytes: U+FDFA of three bytes becomes 33, and some
    /// published files do it twice.
    static let maximumGrowth = 1024.0
    /// The same for pre-tokenizers, which put a space or "▁" before words.
    static let maximumPreTokenizerGrowth = 64.0
    /// How many bytes more normalizers may add to any text: published ones add "▁".
    static let maximumAddition = 64.0

    func malformed(_ reason: String) -> TokenizerError { .malformed(file: name, reason: reason) }

    /// A part with a `type`, nil where it is missing or null.
    func section(_ kind: String) -> TokenizerSection? {
        guard let part = json[kind], !part.isNull else { return nil }
        return TokenizerSection(json: part, file: name, kind: kind)
    }

    func normalizers() throws(TokenizerError) -> [Normalizer] {
        guard let section = section("normalizer") else { return [] }
        let steps = try Normalizer.read(section)
        try checkGrowth(of: "normalizer", steps.map { ($0.growth, $0.addition) }, limit: Self.maximumGrowth)
        return steps
    }

    func preTokenizers() throws(TokenizerError) -> PreTokenizer.Plan {
        guard let section = section("pre_tokenizer") else { return PreTokenizer.Plan() }
        let plan = try PreTokenizer.read(section)
        try checkGrowth(
            of: "pre_tokenizer", plan.steps.map { ($0.growth, 0) }, limit: Self.maximumPreTokenizerGrowth)
        return plan
    }

    func decoders() throws(TokenizerError) -> [TokenDecoder] {
        guard let section = section("decoder") else { return [.spaced] }
        let steps = try TokenDecoder.read(section)
        try checkGrowth(of: "decoder", steps.map { ($0.growth, 0) }, limit: 256)
        return steps
    }

    /// Refuses steps that, one after the other, blow a text up until memory ends.
    private func checkGrowth(
        of kind: String, _ steps: [(growth: Double, addition: Int)], limit: Double
    ) throws(TokenizerError) {
        var (growth, addition) = (1.0, 0.0)
        for step in steps {
            growth *= step.growth
            addition = addition * step.growth + Double(step.addition)
            guard growth <= limit else {
                throw malformed("the \(kind) can make a text more than \(Int(limit)) times longer")
            }
            guard addition <= Self.maximumAddition else {
                throw malformed("the \(kind) adds more than \(Int(Self.maximumAddition)) bytes to every text")
            }
        }
    }
}

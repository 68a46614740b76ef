import SCXEngine

/// How an answer is drawn and when it ends.
public struct AnswerOptions: Equatable, Sendable {
    /// Most tokens of the answer, 1 or more; nil for as many as the model's context has room for.
    public var maximumTokens: Int?
    /// 0 takes the likeliest token; up to 100, higher values vary more.
    public var temperature: Float = 0
    /// Draws from so many of the likeliest tokens only; 0 takes all.
    public var topK = 0
    /// Draws from the likeliest tokens that together have this probability, above 0; 1 takes all.
    public var topP: Float = 1
    /// Draws from tokens with at least this part of the likeliest token's probability; 0 takes all.
    public var minP: Float = 0
    /// Logits of tokens that the prompt or the answer holds are divided by it if positive, else multiplied; above 0, at
    /// most 100, and 1 for none.
    public var repetitionPenalty: Float = 1
    /// The same seed gives the same tokens; nil takes one from the system.
    public var seed: UInt64?
    /// Texts that end an answer, and are no part of it: at most 16, each of 1 to 1,024 bytes.
    public var stop: [String] = []
    /// Whether the answer goes on after the token with which the model ends it.
    public var ignoresEnd = false

    /// The likeliest tokens, until the model ends its answer.
    public init() {}

    /// The likeliest tokens, and not more than so many.
    ///
    /// - Parameter maximumTokens: Most tokens of the answer, 1 or more.
    public init(maximumTokens: Int) { self.maximumTokens = maximumTokens }
}

extension AnswerOptions {
    /// The parameters as the engine takes them.
    var sampling: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = temperature
        parameters.topK = topK
        parameters.topP = topP
        parameters.minP = minP
        parameters.repetitionPenalty = repetitionPenalty
        parameters.seed = seed
        return parameters
    }

    /// Checks each value's range.
    ///
    /// - Throws: ``ModelError`` of kind `options`, which names the value.
    func check() throws(ModelError) {
        func check(_ holds: Bool, _ name: String, _ range: String) throws(ModelError) {
            guard holds else { throw ModelError(.options, "'\(name)' is out of range: \(range)") }
        }
        // Written so that a NaN fails.
        try check((maximumTokens ?? 1) >= 1, "maximumTokens", "1 or more")
        try check((0...100).contains(temperature), "temperature", "0 to 100")
        try check(topK >= 0, "topK", "0 or more")
        try check(topP > 0 && topP <= 1, "topP", "above 0, at most 1")
        try check((0...1).contains(minP), "minP", "0 to 1")
        let repetition = repetitionPenalty
        try check(repetition > 0 && repetition <= 100, "repetitionPenalty", "above 0, at most 100")
        try check(stop.count <= 16, "stop", "at most 16 texts")
        try check(stop.allSatisfy { (1...1024).contains($0.utf8.count) }, "stop", "texts of 1 to 1024 bytes")
    }
}

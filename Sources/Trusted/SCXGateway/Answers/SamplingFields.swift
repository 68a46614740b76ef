import SCXEngine
import SCXInference

// Fields that decide how tokens are drawn, with the same names in every interface.

extension JSONFields {
    /// How tokens are drawn: `temperature`, `top_p`, `top_k` and so on; what is missing keeps its default.
    ///
    /// - Throws: ``APIError`` that names the field at fault.
    func sampling() throws(APIError) -> SamplingParameters {
        var sampling = SamplingParameters()
        func read(
            _ name: String, _ range: ClosedRange<Double>, into value: inout Float
        ) throws(APIError) { if let number = try number(name, range) { value = Float(number) } }
        try read("temperature", 0...100, into: &sampling.temperature)
        try read("top_p", 0...1, into: &sampling.topP)
        guard sampling.topP > 0 else { throw error("top_p", "must be above 0, at most 1") }
        try read("min_p", 0...1, into: &sampling.minP)
        try read("presence_penalty", -2...2, into: &sampling.presencePenalty)
        try read("frequency_penalty", -2...2, into: &sampling.frequencyPenalty)
        try read("repetition_penalty", 0...100, into: &sampling.repetitionPenalty)
        guard sampling.repetitionPenalty > 0 else {
            throw error("repetition_penalty", "must be above 0, at most 100")
        }
        // Some clients write -1 for off.
        if let topK = try int("top_k", -1...Int.max) { sampling.topK = max(topK, 0) }
        // Any 64 bits are a seed.
        if let seed = try int("seed", Int.min...Int.max) { sampling.seed = UInt64(bitPattern: Int64(seed)) }
        sampling.logitBias = try logitBias()
        return sampling
    }

    /// Texts that the answer must not have.
    fileprivate func badWords() throws(APIError) -> [String] {
        let words = try strings("bad_words") ?? []
        let fits =
            words.count <= Self.mostBadWords
            && words.allSatisfy { word in
                (1...Self.mostStopBytes).contains(word.utf8.count) && !word.allSatisfy(\.isWhitespace)
            }
        guard fits else {
            throw error(
                "bad_words",
                "must be at most \(Self.mostBadWords) texts of 1 to \(Self.mostStopBytes) bytes that are not white space"
            )
        }
        return words
    }

    private static var mostBadWords: Int { 256 }

    private func logitBias() throws(APIError) -> [Int32: Float] {
        guard let fields = try object("logit_bias") else { return [:] }
        let count = fields.json.object?.count ?? 0
        guard count <= Self.mostBiases else {
            throw error("logit_bias", "must have at most \(Self.mostBiases) tokens")
        }
        var biases: [Int32: Float] = [:]
        for member in fields.json.object ?? [] {
            guard let token = Int32(member.name), token >= 0 else {
                throw error("logit_bias", "must have token ids as names")
            }
            guard let bias = member.value.double, (-100...100).contains(bias) else {
                throw fields.error(member.name, "must be a number, -100.0 to 100.0")
            }
            biases[token] = Float(bias)
        }
        return biases
    }

    private static var mostBiases: Int { 1024 }
    private static var mostStopBytes: Int { 1024 }

    /// Texts that end the answer: as many as OpenAI's interface takes, where nothing else is said.
    ///
    /// - Parameters:
    ///   - name: The field.
    ///   - most: How many may be.
    /// - Returns: The texts, none of them empty.
    /// - Throws: ``APIError`` when there are too many, long or empty ones.
    func stops(_ name: String = "stop", most: Int = 4) throws(APIError) -> [String] {
        guard self[name]?.array?.count ?? 1 <= most else {
            throw error(name, "must be at most \(most) texts")
        }
        let stops = try strings(name) ?? []
        guard stops.allSatisfy({ $0.utf8.count <= Self.mostStopBytes }) else {
            throw error(name, "must be texts of at most \(Self.mostStopBytes) bytes")
        }
        guard !stops.contains("") else { throw error(name, "must not be empty") }
        return stops
    }

    /// The most tokens of an answer; far above any context, and small enough to add to.
    ///
    /// - Throws: ``APIError`` for what is no number from `least` on.
    func tokenLimit(_ name: String, least: Int = 1) throws(APIError) -> Int? {
        try int(name, least...Int.max).map { min($0, Int(Int32.max)) }
    }

    /// Lets conversations share what they begin with: `cache_salt`, or OpenAI's name for it, `prompt_cache_key`.
    ///
    /// - Throws: ``APIError`` for an empty text: to share must be a choice.
    func salt() throws(APIError) -> String? {
        for name in ["cache_salt", "prompt_cache_key"] {
            guard let salt = try string(name) else { continue }
            guard !salt.isEmpty else { throw error(name, "must not be empty") }
            return salt
        }
        return nil
    }
}

extension ChatRequest {
    /// Reads how tokens are drawn and what ends the answer: what OpenAI's routes have in common, with vLLM's names.
    ///
    /// - Parameters:
    ///   - body: The request.
    ///   - vocabulary: Tokens of the model.
    /// - Throws: ``APIError`` that names the field at fault.
    mutating func readSampling(_ body: JSONFields, _ vocabulary: Int) throws(APIError) {
        sampling = try body.sampling()
        if let allowed = body["allowed_token_ids"] {
            sampling.allowedTokens = try body.tokens("allowed_token_ids", allowed, vocabulary)
        }
        badWords = try body.badWords()
        stop = try body.stops()
        stopTokens = try body.stopTokens(vocabulary)
        ignoresEnd = try body.bool("ignore_eos") ?? false
        showsStop = try body.bool("include_stop_str_in_output") ?? false
        showsSpecialTokens = try body.bool("skip_special_tokens") == false
        minimumTokens = try body.tokenLimit("min_tokens", least: 0) ?? 0
    }

    /// Checks that the answer may be as long as it has to be.
    ///
    /// - Parameter body: The request.
    /// - Throws: ``APIError`` for a request that asks for more tokens than it allows.
    func checkLimits(_ body: JSONFields) throws(APIError) {
        guard let maximumTokens, minimumTokens > maximumTokens else { return }
        throw body.error("min_tokens", "must not be above the most tokens of the answer, \(maximumTokens)")
    }
}

import SCXInference

/// Random numbers that are the same in every run.
struct LoadRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        // SplitMix64
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// The prompt of a request.
enum LoadPrompt: Sendable {
    case text(String)
    case tokens([Int])
    /// What the user and the assistant said in turn; the user is first and last.
    case turns([String])

    /// Makes a prompt that differs for each seed, half to one and a half times as long as asked for.
    ///
    /// - Parameters:
    ///   - seed: Determines the prompt.
    ///   - length: The length in tokens; text has about that many.
    ///   - vocabulary: The vocabulary's size for a prompt of tokens; nil for text.
    init(seed: UInt64, length: Int, vocabulary: Int?) {
        var random = LoadRandom(seed: seed)
        let count = Int.random(in: max(1, length / 2)...max(1, length + length / 2), using: &random)
        if let vocabulary {
            self = .tokens((0..<count).map { _ in Int.random(in: 0..<vocabulary, using: &random) })
            return
        }
        let text = Self.texts.randomElement(using: &random) ?? []
        var words = ["\(seed % 10_000):"]
        // Most words are one token, some are two or three.
        for _ in 0..<max(1, count * 2 / 3) { words.append(String(text.randomElement(using: &random) ?? "")) }
        self = .text(words.joined(separator: " ") + "?")
    }

    /// Words of different texts.
    private static let texts: [[Substring]] = [
        """
        the patient takes metformin twice a day and asks what to do about pain fever cough blood pressure asthma \
        diabetes tablet doctor nurse letter clinic morning evening dose milligrams allergy history since weeks
        """,
        """
        to be or not my lord the king doth speak of love and death thy sword shall rest upon this night where \
        noble men do weep good friend what news from court hath made thee pale come away
        """,
        """
        ship invoice to the warehouse in Hamburg by Friday order number quantity price total net tax customer \
        please confirm delivery address payment thirty days discount pallet container customs
        """,
        """
        let value be a function of its argument return if the index is less than count else throw error while \
        reading the file open buffer and write bytes until end of stream then close handle
        """,
        """
        über Straße naïve café señor 東京 привет größer été niño łódź 数字 мир jalapeño façade smörgås Zürich \
        ångström coöperate rôle œuvre
        """,
    ].map { $0.split(whereSeparator: \.isWhitespace) }
}

/// One request of a load.
struct LoadRequest: Sendable {
    let number: Int
    let profile: String?
    let prompt: LoadPrompt
    let maximumTokens: Int
    /// After how many pieces of the answer the client disconnects; nil when it does not.
    let cutAfter: Int?

    /// Whether to ask for log-probabilities, which show more of the arithmetic than tokens do.
    var wantsLogprobs = false

    var path: String { if case .tokens = prompt { "/v1/completions" } else { "/v1/chat/completions" } }

    /// The body: greedy, streamed, and as long as allowed.
    ///
    /// - Parameters:
    ///   - model: The model's name, if it has to be given.
    ///   - salt: Prevents that the request continues what others have computed.
    /// - Returns: A body for ``path``.
    func body(model: String?, salt: String?) -> JSON {
        var members: [JSON.Member] = [
            .init("max_tokens", .int(maximumTokens)), .init("temperature", 0), .init("ignore_eos", true),
            .init("stream", true), .init("stream_options", ["include_usage": true]),
        ]
        switch prompt {
        case .text(let text):
            members.append(.init("messages", [["role": "user", "content": .string(text)]]))
        case .turns(let turns):
            let messages = turns.enumerated().map { index, text -> JSON in
                ["role": .string(index % 2 == 0 ? "user" : "assistant"), "content": .string(text)]
            }
            members.append(.init("messages", .array(messages)))
        case .tokens(let tokens):
            members.append(.init("prompt", .array(tokens.map { .int($0) })))
            // Without a tokenizer, the server shows tokens only in this way.
            members.append(.init("logprobs", 0))
        }
        if wantsLogprobs { members.append(.init("logprobs", true)) }
        if let model { members.append(.init("model", .string(model))) }
        if let salt { members.append(.init("cache_salt", .string(salt))) }
        return .object(members)
    }
}

package import SCXEngine
package import SCXImages
package import SCXInference
package import SCXProfiles
package import SCXText

/// The model that a server answers with.
package struct ServedModel: Sendable {
    package let name: String
    /// Further names under which clients may ask for it.
    package let aliases: [String]
    /// Nil for a model without `tokenizer.json`, which takes and gives token ids only.
    package let tokenizer: Tokenizer?
    package let chatFormat: ChatFormat?
    /// Why the model's chat template cannot be used; nil when it can, or when there is none.
    package let chatFault: String?
    /// Tokens that end an answer.
    package let stopTokens: Set<Int32>
    package let configuration: DecoderConfiguration
    /// Makes vectors of texts.
    package let embedder: TextEmbedder
    /// Scores pairs of texts; nil for a model that cannot.
    package let scorer: PairScorer?
    /// Why there is no scorer.
    package let scorerFault: String?
    /// Reads pictures; nil for a model that takes none.
    package let pictures: PictureReader?
    /// The profiles that the server was started with, the default first.
    package let profiles: [ServedProfile]
    /// The threads that render, tokenise and compile before a request is computed.
    package let work: WorkPool

    package init(
        name: String, tokenizer: Tokenizer?, chatFormat: ChatFormat?, chatFault: String? = nil,
        stopTokens: Set<Int32>, configuration: DecoderConfiguration, embedder: TextEmbedder? = nil,
        scorer: PairScorer? = nil, scorerFault: String? = nil,
        pictures: PictureReader? = nil, profiles: [ServedProfile],
        aliases: [String] = [], work: WorkPool = WorkPool()
    ) {
        precondition(!profiles.isEmpty, "ServedModel: no profile")
        self.name = name
        self.aliases = aliases
        self.tokenizer = tokenizer
        self.chatFormat = chatFormat
        self.chatFault = chatFault
        self.stopTokens = stopTokens
        self.configuration = configuration
        self.embedder =
            embedder
            ?? TextEmbedder(SentenceModules(), tokenizer: tokenizer, configuration: configuration)
        (self.scorer, self.scorerFault) = (scorer, scorerFault)
        self.pictures = pictures
        self.profiles = profiles
        self.work = work
    }

    /// The profile that a client asked for, or the default.
    ///
    /// - Throws: ``APIError`` when this server does not serve it.
    package func profile(named name: String?) throws(APIError) -> ServedProfile {
        guard let name else { return profiles[0] }
        guard let profile = profiles.first(where: { $0.name == name }) else {
            let names = profiles.map(\.name).joined(separator: ", ")
            throw .invalid(
                "This server does not serve profile '\(name.prefix(40))', only: \(names).",
                param: "x-scx-profile",
                code: "profile_not_served")
        }
        return profile
    }

    /// The tokenizer, for a request that cannot be answered without one.
    ///
    /// - Throws: ``APIError`` for a model that has none.
    package func requireTokenizer() throws(APIError) -> Tokenizer {
        guard let tokenizer else {
            throw .invalid(
                "Model '\(name)' has no tokenizer: only token ids are taken.", code: "no_tokenizer")
        }
        return tokenizer
    }

    /// The chat template, for a request that cannot be answered without one.
    ///
    /// - Throws: ``APIError`` for a model that has none, or one that cannot be used.
    package func requireChatFormat() throws(APIError) -> ChatFormat {
        if let chatFault {
            throw APIError(
                status: 501,
                "The chat template of model '\(name)' cannot be used (\(chatFault)): only completions are served.",
                type: "invalid_request_error", code: "chat_template_unsupported")
        }
        guard let chatFormat else {
            throw .invalid("Model '\(name)' has no chat template.", code: "no_chat_template")
        }
        return chatFormat
    }
}

/// A profile that clients may choose, with the engine that computes in it.
package struct ServedProfile: Sendable {
    package var name: String { facts.name }
    /// What the profile hides and leaks, in the words that clients are told.
    package let facts: ProfileFacts
    package let loop: EngineLoop
    /// The links to the workers, where what crosses can be recorded for the page; empty when nothing may be recorded.
    package let links: [TappedLink]
    /// Counts of pads and products for metrics, in profile `sealed` alone.
    package let sealed: SealedReport?

    package init(
        _ facts: ProfileFacts, loop: EngineLoop, links: [TappedLink] = [], sealed: SealedReport? = nil
    ) {
        (self.facts, self.loop, self.links, self.sealed) = (facts, loop, links, sealed)
    }
}

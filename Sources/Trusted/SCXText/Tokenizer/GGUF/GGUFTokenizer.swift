package import SCXInference

/// The tokenizer in a GGUF file's metadata, as the files in which Hugging Face would keep it.
///
/// Nothing else needs to know of GGUF: `tokenizer.json` and `tokenizer_config.json` are made in memory, and are then read as
/// those of a directory are. The meanings are those of llama.cpp (`src/llama-vocab.cpp` in
/// <https://github.com/ggml-org/llama.cpp>).
package struct GGUFTokenizer {
    private let file: GGUFFile
    /// What errors call the file.
    private let name: String
    private let model: String
    private let tokens: [String]
    /// What kind each token is of; empty where the file does not say.
    private let types: [Int]
    private let split: GGUFSplit?

    /// Kinds of tokens, by their numbers in `tokenizer.ggml.token_type`.
    private enum TokenType {
        static let control = 3
        static let userDefined = 4
    }

    /// Reads the tokens.
    ///
    /// - Parameter path: The path of a GGUF file.
    /// - Throws: `TokenizerError` for a file that is damaged or whose tokenizer is of an unknown kind.
    package init(path: String) throws(TokenizerError) {
        name = path.split(separator: "/").last.map(String.init) ?? path
        do throws(CheckpointError) {
            file = try GGUFFile(path)
            model = try file.string("tokenizer.ggml.model") ?? "none"
            tokens = try file.strings("tokenizer.ggml.tokens") ?? []
            types = try file.integers("tokenizer.ggml.token_type") ?? []
        } catch { throw TokenizerError(error, file: name) }
        guard !tokens.isEmpty else {
            throw .malformed(file: name, reason: "has no tokens in 'tokenizer.ggml.tokens'")
        }
        guard types.isEmpty || types.count == tokens.count else {
            throw .malformed(file: name, reason: "'tokenizer.ggml.token_type' does not fit the tokens")
        }
        switch model {
        case "llama": split = nil
        case "gpt2":
            let word: String?
            do throws(CheckpointError) { word = try file.string("tokenizer.ggml.pre") } catch {
                throw TokenizerError(error, file: name)
            }
            guard let word else {
                throw .malformed(
                    file: name,
                    reason: "'tokenizer.ggml.pre' is missing, so that nobody knows how it splits a text")
            }
            guard let known = GGUFSplit(word) else {
                throw .unsupported(
                    file: name,
                    what:
                        "way to split a text (tokenizer.ggml.pre), \(word.quotedForError); known are \(GGUFSplit.known)"
                )
            }
            split = known
        default:
            throw .unsupported(
                file: name,
                what:
                    "kind of tokenizer (tokenizer.ggml.model), \(model.quotedForError); known are gpt2, llama"
            )
        }
    }

    /// Whether a GGUF file has a tokenizer at all.
    package static func isIn(_ path: String) -> Bool {
        (try? GGUFFile(path))?.has("tokenizer.ggml.tokens") ?? true
    }

    private func value<T>(_ read: () throws(CheckpointError) -> T) throws(TokenizerError) -> T {
        do throws(CheckpointError) { return try read() } catch { throw TokenizerError(error, file: name) }
    }

    /// The tokenizer's parts, as those of a directory.
    ///
    /// - Throws: `TokenizerError` for contents that are damaged.
    func contents() throws(TokenizerError) -> TokenizerFile {
        TokenizerFile(json: try json(), name: name, configuration: try configuration())
    }

    // MARK: tokenizer_config.json

    /// The special tokens, and the chat templates.
    ///
    /// - Returns: What a `tokenizer_config.json` would say.
    /// - Throws: `TokenizerError` for a token that is none of the file's.
    package func configuration() throws(TokenizerError) -> JSON {
        let isPieces = model == "llama"
        var fields: [JSON.Member] = []
        for (key, field, usual) in [
            ("bos", "bos_token", 1), ("eos", "eos_token", 2), ("unknown", "unk_token", 0),
            ("padding", "pad_token", -1),
        ] {
            let stated = try value { () throws(CheckpointError) in
                try file.integer("tokenizer.ggml.\(key)_token_id")
            }
            let id = stated ?? (isPieces ? usual : -1)
            guard id >= 0, id != Int(UInt32.max) else { continue }
            guard id < tokens.count else {
                throw .malformed(
                    file: name, reason: "'tokenizer.ggml.\(key)_token_id' is \(id), which is no token")
            }
            fields.append(.init(field, .string(tokens[id])))
        }
        for (key, usual) in [("bos", isPieces || split?.beginsText == true), ("eos", false)] {
            let adds = try value { () throws(CheckpointError) in
                try file.flag("tokenizer.ggml.add_\(key)_token")
            }
            fields.append(.init("add_\(key)_token", .bool(adds ?? usual)))
        }
        if let templates = try templates() { fields.append(.init("chat_template", templates)) }
        return .object(fields)
    }

    /// One template, or several with their names.
    private func templates() throws(TokenizerError) -> JSON? {
        try value { () throws(CheckpointError) -> JSON? in
            let key = "tokenizer.chat_template"
            let main = try file.string(key)
            var named: [JSON] = []
            for name in try file.strings("tokenizer.chat_templates") ?? [] {
                guard let text = try file.string("\(key).\(name)") else { continue }
                named.append(["name": .string(name), "template": .string(text)])
            }
            guard let main else { return named.isEmpty ? nil : .array(named) }
            guard !named.isEmpty else { return .string(main) }
            return .array([["name": "default", "template": .string(main)]] + named)
        }
    }

    // MARK: tokenizer.json

    private func json() throws(TokenizerError) -> JSON {
        var added: [JSON] = []
        for (id, type) in types.enumerated() where type == TokenType.control || type == TokenType.userDefined
        {
            added.append([
                "id": .int(id), "content": .string(tokens[id]), "normalized": false,
                "special": .bool(type == TokenType.control),
            ])
        }
        let vocabulary = JSON.object(tokens.enumerated().map { .init($1, .int($0)) })
        guard let split else { return try pieces(vocabulary, .array(added)) }
        let merges =
            try value { () throws(CheckpointError) in try file.strings("tokenizer.ggml.merges") } ?? []
        return [
            "added_tokens": .array(added), "normalizer": split.normalizer,
            "pre_tokenizer": split.preTokenizer,
            "decoder": ["type": "ByteLevel", "add_prefix_space": true, "use_regex": true],
            "model": [
                "type": "BPE", "ignore_merges": .bool(split.ignoresMerges), "vocab": vocabulary,
                "merges": .array(merges.map { .string($0) }),
            ],
        ]
    }

    /// A tokenizer of SentencePiece: spaces become "▁", and what is no token is written in bytes.
    private func pieces(_ vocabulary: JSON, _ added: JSON) throws(TokenizerError) -> JSON {
        let scores =
            try value { () throws(CheckpointError) in try file.numbers("tokenizer.ggml.scores") } ?? []
        let merges = try GGUFMerges(tokens: tokens, scores: scores, file: name).list()
        let (addsSpace, removes) = try value { () throws(CheckpointError) in
            (
                try file.flag("tokenizer.ggml.add_space_prefix") ?? true,
                try file.flag("tokenizer.ggml.remove_extra_whitespaces") ?? false
            )
        }
        guard !removes else {
            throw .unsupported(
                file: name, what: "removal of spaces (tokenizer.ggml.remove_extra_whitespaces)")
        }
        let meta: JSON = ["type": "Replace", "pattern": ["String": " "], "content": "▁"]
        var decoders: [JSON] = [
            ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"],
            ["type": "Fuse"],
        ]
        if addsSpace { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
        let unknown = try configuration()["unk_token"] ?? .null
        return [
            "added_tokens": added,
            "normalizer": addsSpace
                ? ["type": "Sequence", "normalizers": [["type": "Prepend", "prepend": "▁"], meta]] : meta,
            "decoder": ["type": "Sequence", "decoders": .array(decoders)],
            "model": [
                "type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true,
                "vocab": vocabulary, "merges": .array(merges),
            ],
        ]
    }
}

extension TokenizerError {
    /// An error in a GGUF file's header, which the error's own text need not name again.
    init(_ error: CheckpointError, file: String) {
        switch error {
        case .field(_, let field, let reason): self = .malformed(file: file, reason: "'\(field)' \(reason)")
        case .malformedGGUF(_, let reason):
            self = .malformed(file: file, reason: "no complete GGUF file: \(reason)")
        case .unsupported(_, let what, _): self = .unsupported(file: file, what: what)
        default: self = .unreadable(file: file, reason: error.description)
        }
    }
}

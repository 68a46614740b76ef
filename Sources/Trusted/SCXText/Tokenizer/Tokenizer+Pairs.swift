import SCXInference

/// A part of what a pair of texts becomes; the kind tells models like BERT to which of them a token belongs.
enum PairPiece: Equatable, Sendable {
    case tokens([Int32], kind: Int32)
    case text(isSecond: Bool, kind: Int32)
}

extension Tokenizer {
    /// Turns a text into tokens with the special tokens around it, of which there are at most `longest`.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - longest: The most tokens; those at the end of the text are left out, never special ones. Nil for no limit.
    /// - Returns: The tokens.
    package func encode(_ text: String, longest: Int?) -> [Int32] {
        let tokens = encode(text)
        guard let longest, tokens.count > longest else { return tokens }
        let own = encode(text, addSpecialTokens: false)
        let room = max(0, longest - (tokens.count - own.count))
        return template.flatMap { piece in
            switch piece {
            case .tokens(let special): special
            case .text: Array(own.prefix(room))
            }
        }
    }

    /// Turns a pair of texts into the tokens that the file's template makes of it.
    ///
    /// - Parameters:
    ///   - first: The first text, of a reranker the query.
    ///   - second: The second text.
    ///   - longest: The most tokens; where there would be more, the longer text is cut first, as the `tokenizers` package
    ///     does it. Nil for no limit.
    /// - Returns: The tokens, and the kind of each; no kinds where the configuration says that the model takes none. Nil
    ///   where the file has no template for pairs.
    package func encode(
        pair first: String, _ second: String, longest: Int? = nil
    ) -> (tokens: [Int32], kinds: [Int32])? {
        guard let pairTemplate else { return nil }
        var (a, b) = (
            encode(first, addSpecialTokens: false), encode(second, addSpecialTokens: false)
        )
        let added = pairTemplate.reduce(0) { count, piece -> Int in
            if case .tokens(let tokens, _) = piece { count + tokens.count } else { count }
        }
        if let longest, a.count + b.count + added > longest {
            (a, b) = Self.cut(a, b, to: max(0, longest - added))
        }
        var (tokens, kinds): ([Int32], [Int32]) = ([], [])
        for piece in pairTemplate {
            let (own, kind) =
                switch piece {
                case .tokens(let special, let kind): (special, kind)
                case .text(let isSecond, let kind): (isSecond ? b : a, kind)
                }
            tokens += own
            kinds += own.map { _ in kind }
        }
        return (tokens, takesKinds ? kinds : [])
    }

    /// Cuts two texts to `limit` tokens together: the longer one first, then both to one half.
    private static func cut(_ a: [Int32], _ b: [Int32], to limit: Int) -> ([Int32], [Int32]) {
        var shorter = min(a.count, b.count)
        var longer = shorter > limit ? shorter : max(shorter, limit - shorter)
        if shorter + longer > limit {
            shorter = limit / 2
            longer = shorter + limit % 2
        }
        let (first, second) = a.count > b.count ? (longer, shorter) : (shorter, longer)
        return (Array(a.prefix(first)), Array(b.prefix(second)))
    }
}

extension TokenizerFile {
    /// What a pair of texts stands in, from the section `post_processor`; nil where that says nothing of pairs.
    func pairTemplate(_ vocabulary: Vocabulary) throws(TokenizerError) -> [PairPiece]? {
        guard let part = json["post_processor"], !part.isNull else { return nil }
        let section = TokenizerSection(json: part, file: name, kind: "post_processor")
        var found: [PairPiece]?
        for part in try section.flattened("processors") {
            switch try part.type() {
            case "BertProcessing", "RobertaProcessing":
                let isBert = try part.type() == "BertProcessing"
                let begin = try token("cls", part, vocabulary)
                let end = try token("sep", part, vocabulary)
                let second: Int32 = isBert ? 1 : 0
                found = [
                    .tokens([begin], kind: 0), .text(isSecond: false, kind: 0),
                    .tokens(isBert ? [end] : [end, end], kind: 0), .text(isSecond: true, kind: second),
                    .tokens([end], kind: second),
                ]
            case "TemplateProcessing":
                guard part.json["pair"]?.array != nil else { continue }
                var pieces: [PairPiece] = []
                let list = try part.list("pair")
                guard list.count <= Self.maximumPieces else {
                    throw part.malformed("has more than \(Self.maximumPieces) parts")
                }
                for piece in list { pieces.append(try pairPiece(piece, part, vocabulary)) }
                let texts = pieces.compactMap { piece -> Bool? in
                    if case .text(let isSecond, _) = piece { isSecond } else { nil }
                }
                // Other forms are read where a pair is asked for, which they do not serve.
                found = texts.sorted { !$0 && $1 } == [false, true] ? pieces : nil
            default: continue
            }
        }
        return found
    }

    private func pairPiece(
        _ part: TokenizerSection, _ section: TokenizerSection, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> PairPiece {
        let inner = part.json["Sequence"] ?? part.json["SpecialToken"]
        guard let kind = Int32(exactly: inner?["type_id"]?.int ?? 0), (0...1 << 10).contains(kind) else {
            throw section.malformed("has a type_id that is none")
        }
        if let sequence = part.json["Sequence"] {
            guard let id = sequence["id"]?.string, id == "A" || id == "B" else {
                throw section.malformed("names a third text")
            }
            return .text(isSecond: id == "B", kind: kind)
        }
        guard case .tokens(let tokens) = try piece(part, section, vocabulary) else {
            throw section.malformed("has an unknown part")
        }
        return .tokens(tokens, kind: kind)
    }

    /// Whether the configuration's list of the model's inputs, if there is one, has the kinds of tokens.
    var takesKinds: Bool {
        guard let names = configuration["model_input_names"]?.array else { return true }
        return names.contains { $0.string == "token_type_ids" }
    }
}

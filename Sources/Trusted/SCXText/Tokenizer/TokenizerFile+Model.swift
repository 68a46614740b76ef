import SCXInference

extension TokenizerFile {
    /// Longest token of models that look for tokens in a word; published ones have up to 200 bytes.
    private static let maximumTokenLength = 1024
    /// Greatest length of all their tokens together; published ones have 3 MB.
    private static let maximumTokenBytes = 1 << 24

    /// Reads the section `model`.
    ///
    /// - Parameter plan: The pre-tokenizer's steps. A final one that writes words in the byte alphabet is taken away where
    ///   the model takes bytes instead.
    /// - Returns: The model.
    /// - Throws: `TokenizerError` for one that is damaged or unknown.
    func model(_ plan: inout PreTokenizer.Plan) throws(TokenizerError) -> TokenModel {
        guard let section = section("model") else { throw malformed("no 'model'") }
        switch section.json["type"]?.string ?? impliedType(section.json) {
        case "BPE": return .bytePair(try bytePair(section, bytewise: plan.removeFinalAlphabet()))
        case "WordPiece": return .wordPiece(try wordPiece(section))
        case "Unigram": return .unigram(try unigram(section))
        case "WordLevel":
            let vocabulary = try vocabulary(section)
            return .wordLevel(
                WordLevelModel(vocabulary: vocabulary, unknown: try unknownToken(section, vocabulary)))
        case let type: throw section.unsupported(type)
        }
    }

    /// The model of older files, which do not name it.
    private func impliedType(_ model: JSON) -> String {
        if model["vocab"]?.array != nil { return "Unigram" }
        if model["merges"] != nil { return "BPE" }
        if model["max_input_chars_per_word"] != nil { return "WordPiece" }
        return model["unk_token"] != nil ? "WordLevel" : "BPE"
    }

    private func unknownToken(
        _ section: TokenizerSection, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> Int32 {
        let text = Array(try section.string("unk_token").utf8)
        guard let id = vocabulary.id(of: text.span) else {
            throw section.malformed("has an 'unk_token' that is no token")
        }
        return id
    }

    private func wordPiece(_ section: TokenizerSection) throws(TokenizerError) -> WordPieceModel {
        let vocabulary = try vocabulary(section, maximumLength: Self.maximumTokenLength)
        try checkLength(vocabulary.byteCount, section)
        guard let limit = section.json["max_input_chars_per_word"]?.int, limit >= 0 else {
            throw section.malformed("has no 'max_input_chars_per_word' from 0 on")
        }
        return WordPieceModel(
            vocabulary: vocabulary, unknown: try unknownToken(section, vocabulary),
            prefix: Array(try section.string("continuing_subword_prefix").utf8), maximumCharacters: limit)
    }

    private func unigram(_ section: TokenizerSection) throws(TokenizerError) -> UnigramModel {
        guard let list = section.json["vocab"]?.array, !list.isEmpty, list.count <= Vocabulary.maximumID
        else {
            throw section.malformed("has no tokens in 'vocab'")
        }
        var vocabulary = Vocabulary(capacity: list.count)
        var bytes = 0
        var scores: [Double] = []
        scores.reserveCapacity(list.count)
        for (id, entry) in list.enumerated() {
            guard let pair = entry.array, pair.count == 2, let text = pair[0].string,
                let score = pair[1].double,
                score.isFinite
            else { throw section.malformed("has a token (number \(id)) that is not a text and a score") }
            guard text.utf8.count <= Self.maximumTokenLength else { throw tooLong(text, section) }
            bytes += text.utf8.count
            // Of equal texts the last one counts.
            _ = vocabulary.insert(text.utf8.span, id: Int32(id), replacing: true)
            scores.append(score)
        }
        try checkLength(bytes, section)
        guard let unknown = section.json["unk_id"]?.int, list.indices.contains(unknown) else {
            throw section.malformed("has no 'unk_id' that is a token")
        }
        return UnigramModel(
            vocabulary: vocabulary, scores: scores, unknown: Int32(unknown),
            byteFallback: try section.flag("byte_fallback", default: false))
    }

    private func checkLength(_ bytes: Int, _ section: TokenizerSection) throws(TokenizerError) {
        guard bytes <= Self.maximumTokenBytes else {
            throw section.malformed("has tokens of more than \(Self.maximumTokenBytes) bytes together")
        }
    }

    private func tooLong(_ token: String, _ section: TokenizerSection) -> TokenizerError {
        section.malformed(
            "has the token \(token.quotedForError) of more than \(Self.maximumTokenLength) bytes")
    }

    private func vocabulary(
        _ section: TokenizerSection, maximumLength: Int = .max
    ) throws(TokenizerError) -> Vocabulary {
        guard let members = section.json["vocab"]?.object, !members.isEmpty else {
            throw section.malformed("has no tokens in 'vocab'")
        }
        var vocabulary = Vocabulary(capacity: members.count)
        for member in members {
            guard let id = member.value.int, (0...Vocabulary.maximumID).contains(id) else {
                throw section.malformed(
                    "gives the token \(member.name.quotedForError) no number from 0 to \(Vocabulary.maximumID)"
                )
            }
            guard member.name.utf8.count <= maximumLength else { throw tooLong(member.name, section) }
            switch vocabulary.insert(member.name.utf8.span, id: Int32(id)) {
            case .added: break
            case .textTaken: throw section.malformed("has the token \(member.name.quotedForError) twice")
            case .idTaken: throw section.malformed("gives the number \(id) to two tokens")
            }
        }
        return vocabulary
    }

    private func bytePair(
        _ section: TokenizerSection, bytewise: Bool
    ) throws(TokenizerError) -> BytePairModel {
        guard section.json["dropout"]?.double ?? 0 == 0 else { throw section.unsupported("dropout") }
        let vocabulary = try vocabulary(section)
        let affixes = BytePairModel.Affixes(
            prefix: Array((section.json["continuing_subword_prefix"]?.string ?? "").utf8),
            suffix: Array((section.json["end_of_word_suffix"]?.string ?? "").utf8))
        let (merges, cutsBeforeMeta) = try merges(section, vocabulary, affixes.prefix)
        var unknown = BytePairModel.Unknown(id: nil, fuse: try section.flag("fuse_unk", default: false))
        let unknownText = section.json["unk_token"]?.string
        if let unknownText {
            let bytes = Array(unknownText.utf8)
            unknown.id = vocabulary.id(of: bytes.span)
        }
        let model = BytePairModel(
            vocabulary: vocabulary, merges: merges, unknown: unknown, affixes: affixes,
            ignoreMerges: try section.flag("ignore_merges", default: false),
            byteFallback: try section.flag("byte_fallback", default: false), bytewise: bytewise,
            cutsBeforeMeta: cutsBeforeMeta)
        guard unknownText == nil || unknown.id != nil || model.knowsAllCharacters else {
            throw section.malformed("has an 'unk_token' that is no token")
        }
        return model
    }

    /// The merges, and whether none of them crosses into "▁" from another character.
    private func merges(
        _ section: TokenizerSection, _ vocabulary: Vocabulary, _ prefix: [UInt8]
    ) throws(TokenizerError) -> (MergeTable, cutsBeforeMeta: Bool) {
        guard let list = section.json["merges"]?.array else {
            throw section.malformed("has no list 'merges'")
        }
        var reader = MergeReader(
            section: section, vocabulary: vocabulary, prefix: prefix, merges: MergeTable(capacity: list.count)
        )
        for entry in list {
            switch entry {
            case .string(let line):
                // The older spelling; a file may still begin with the line that names its version.
                guard !line.utf8.starts(with: "#version".utf8) else { continue }
                let text = line.utf8.span
                guard let space = text.onlySpace else { throw reader.malformed("is not two tokens") }
                try reader.add(text.extracting(0..<space), text.extracting(space + 1..<text.count))
            case .array(let pair):
                guard pair.count == 2, let left = pair[0].string, let right = pair[1].string else {
                    throw reader.malformed("is not two tokens")
                }
                try reader.add(left.utf8.span, right.utf8.span)
            default: throw reader.malformed("is not two tokens")
            }
        }
        return (reader.merges, reader.cutsBeforeMeta)
    }
}

/// Collects merges, the earliest learnt first.
private struct MergeReader {
    let section: TokenizerSection
    let vocabulary: Vocabulary
    /// What the right one of a pair loses when it joins the left one.
    let prefix: [UInt8]
    var merges: MergeTable
    var cutsBeforeMeta = true
    private var rank: UInt32 = 0
    private var joined: [UInt8] = []

    init(section: TokenizerSection, vocabulary: Vocabulary, prefix: [UInt8], merges: MergeTable) {
        self.section = section
        self.vocabulary = vocabulary
        self.prefix = prefix
        self.merges = merges
    }

    mutating func add(_ left: Span<UInt8>, _ right: Span<UInt8>) throws(TokenizerError) {
        guard let leftID = vocabulary.id(of: left), let rightID = vocabulary.id(of: right) else {
            throw malformed("joins what is no token")
        }
        guard right.count >= prefix.count else { throw malformed("lacks the 'continuing_subword_prefix'") }
        joined.removeAll(keepingCapacity: true)
        for i in left.indices { joined.append(left[i]) }
        for i in prefix.count..<right.count { joined.append(right[i]) }
        guard let result = vocabulary.id(of: joined.span) else { throw malformed("makes what is no token") }
        merges.insert(leftID, rightID, rank: rank, result: result)
        rank += 1
        let meta = BytePairModel.meta
        if right.hasPrefix(meta, at: 0), !left.hasPrefix(meta, at: left.count - meta.count) {
            cutsBeforeMeta = false
        }
    }

    func malformed(_ reason: String) -> TokenizerError {
        section.malformed("has a merge (number \(rank)) that \(reason)")
    }
}

extension Span<UInt8> {
    /// Where the one space is, nil if there is none or more.
    fileprivate var onlySpace: Int? {
        var space: Int?
        for i in indices where self[i] == 0x20 {
            guard space == nil else { return nil }
            space = i
        }
        return space
    }
}

import SCXInference

/// Reads the parts of a `tokenizer.json`, and of the `tokenizer_config.json` beside it.
///
/// Files come from strangers: every number is checked before it sizes or indexes anything.
struct TokenizerFile {
    let json: JSON
    let name: String
    /// `tokenizer_config.json`, null where there is none.
    let configuration: JSON

    func malformed(_ reason: String) -> TokenizerError { .malformed(file: name, reason: reason) }

    /// A part with a `type`, nil where it is missing or null.
    private func section(_ kind: String) -> TokenizerSection? {
        guard let part = json[kind], !part.isNull else { return nil }
        return TokenizerSection(json: part, file: name, kind: kind)
    }

    func normalizers() throws(TokenizerError) -> [Normalizer] {
        guard let section = section("normalizer") else { return [] }
        let steps = try Normalizer.read(section)
        try checkGrowth(of: "normalizer", steps.map(\.growth))
        return steps
    }

    func preTokenizers() throws(TokenizerError) -> PreTokenizer.Plan {
        var plan = PreTokenizer.Plan()
        if let section = section("pre_tokenizer") { try PreTokenizer.read(section, into: &plan) }
        return plan
    }

    func decoders() throws(TokenizerError) -> [TokenDecoder] {
        guard let section = section("decoder") else { return [.spaced] }
        let steps = try TokenDecoder.read(section)
        try checkGrowth(of: "decoder", steps.map(\.growth))
        return steps
    }

    /// Refuses replacements that, one after the other, blow a text up until memory ends.
    private func checkGrowth(of kind: String, _ factors: [Int]) throws(TokenizerError) {
        var growth = 1
        for factor in factors {
            growth *= min(factor, 1_000)
            guard growth <= 256 else {
                throw malformed("the \(kind) can make a text more than 256 times longer")
            }
        }
    }
}

extension TokenizerFile {
    func model(bytewise: Bool) throws(TokenizerError) -> BytePairModel {
        guard let section = section("model") else { throw malformed("no 'model'") }
        let type = section.json["type"]?.string ?? "BPE"
        guard type == "BPE" else { throw section.unsupported(type) }
        guard section.json["dropout"]?.double ?? 0 == 0 else { throw section.unsupported("dropout") }
        for affix in ["continuing_subword_prefix", "end_of_word_suffix"] {
            guard section.json[affix]?.string ?? "" == "" else { throw section.unsupported(affix) }
        }
        let vocabulary = try vocabulary(section)
        let (merges, cutsBeforeMeta) = try merges(section, vocabulary)
        var unknown = BytePairModel.Unknown(id: nil, fuse: try section.flag("fuse_unk", default: false))
        if let text = section.json["unk_token"]?.string {
            let bytes = Array(text.utf8)
            unknown.id = vocabulary.id(of: bytes.span)
            guard unknown.id != nil else { throw section.malformed("has an 'unk_token' that is no token") }
        }
        return BytePairModel(
            vocabulary: vocabulary, merges: merges, unknown: unknown,
            ignoreMerges: try section.flag("ignore_merges", default: false),
            byteFallback: try section.flag("byte_fallback", default: false), bytewise: bytewise,
            cutsBeforeMeta: cutsBeforeMeta)
    }

    private func vocabulary(_ section: TokenizerSection) throws(TokenizerError) -> Vocabulary {
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
            switch vocabulary.insert(member.name.utf8.span, id: Int32(id)) {
            case .added: break
            case .textTaken: throw section.malformed("has the token \(member.name.quotedForError) twice")
            case .idTaken: throw section.malformed("gives the number \(id) to two tokens")
            }
        }
        return vocabulary
    }

    /// The merges, and whether none of them crosses into "▁" from another character.
    private func merges(
        _ section: TokenizerSection, _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> (MergeTable, cutsBeforeMeta: Bool) {
        guard let list = section.json["merges"]?.array else {
            throw section.malformed("has no list 'merges'")
        }
        var reader = MergeReader(
            section: section, vocabulary: vocabulary, merges: MergeTable(capacity: list.count))
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
    var merges: MergeTable
    var cutsBeforeMeta = true
    private var rank: UInt32 = 0
    private var joined: [UInt8] = []

    init(section: TokenizerSection, vocabulary: Vocabulary, merges: MergeTable) {
        self.section = section
        self.vocabulary = vocabulary
        self.merges = merges
    }

    mutating func add(_ left: Span<UInt8>, _ right: Span<UInt8>) throws(TokenizerError) {
        guard let leftID = vocabulary.id(of: left), let rightID = vocabulary.id(of: right) else {
            throw malformed("joins what is no token")
        }
        joined.removeAll(keepingCapacity: true)
        for i in left.indices { joined.append(left[i]) }
        for i in right.indices { joined.append(right[i]) }
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

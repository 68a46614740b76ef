/// What turns words into tokens.
enum TokenModel: Sendable {
    case bytePair(BytePairModel)
    case wordPiece(WordPieceModel)
    case unigram(UnigramModel)
    case wordLevel(WordLevelModel)

    var vocabulary: Vocabulary {
        switch self {
        case .bytePair(let model): model.vocabulary
        case .wordPiece(let model): model.vocabulary
        case .unigram(let model): model.vocabulary
        case .wordLevel(let model): model.vocabulary
        }
    }

    /// The token that stands for what is none.
    var unknown: Int32? {
        switch self {
        case .bytePair(let model): model.unknown.id
        case .wordPiece(let model): model.unknown
        case .unigram(let model): model.unknown
        case .wordLevel(let model): model.unknown
        }
    }

    /// Room for one text's words, used again for the next.
    struct Workspace {
        var cache = WordCache()
        var bytePair = BytePairModel.Workspace()
        var unigram = UnigramModel.Workspace()
    }

    /// Appends the tokens of words.
    ///
    /// - Parameters:
    ///   - words: Ranges of a text, none of them empty.
    ///   - text: The text, in UTF-8 or in bytes of it.
    ///   - work: Room, and what is known of the user's text.
    ///   - ids: Gets the tokens.
    func encode(
        _ words: ArraySlice<Range<Int>>, of text: Span<UInt8>, _ work: inout Workspace,
        into ids: inout [Int32]
    ) {
        switch self {
        case .bytePair(let model):
            for word in words {
                model.encode(text.extracting(word), &work.cache, &work.bytePair, into: &ids)
            }
        case .wordPiece(let model):
            for word in words { model.encode(text.extracting(word), &work.cache, into: &ids) }
        case .unigram(let model):
            for word in words {
                model.encode(text.extracting(word), &work.cache, &work.unigram, into: &ids)
            }
        case .wordLevel(let model):
            for word in words { model.encode(text.extracting(word), into: &ids) }
        }
    }
}

/// The tokens `<0x00>` to `<0xFF>` of a vocabulary.
struct ByteTokens: Sendable {
    /// One for each byte, -1 where it is missing.
    private let ids: [Int32]

    init(_ vocabulary: Vocabulary) {
        let digits = Array("0123456789ABCDEF".utf8)
        ids = (0..<256).map { byte in
            let text = Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15], UInt8(ascii: ">")]
            return vocabulary.id(of: text.span) ?? -1
        }
    }

    /// Appends the tokens of some bytes if all of them exist; false and nothing if not.
    func append(_ bytes: Span<UInt8>, into result: inout [Int32]) -> Bool {
        for i in bytes.indices where ids[Int(bytes[i])] < 0 { return false }
        for i in bytes.indices { result.append(ids[Int(bytes[i])]) }
        return true
    }
}

/// Whole words, or the unknown token.
final class WordLevelModel: Sendable {
    let vocabulary: Vocabulary
    let unknown: Int32

    init(vocabulary: Vocabulary, unknown: Int32) {
        self.vocabulary = vocabulary
        self.unknown = unknown
    }

    func encode(_ word: Span<UInt8>, into ids: inout [Int32]) {
        ids.append(vocabulary.id(of: word) ?? unknown)
    }
}

/// The longest known piece again and again, from left to right; the whole word is unknown if that does not work out.
///
/// Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1, as BERT has it.
final class WordPieceModel: Sendable {
    let vocabulary: Vocabulary
    let unknown: Int32
    private let maximumCharacters: Int
    private let trie: ByteTrie
    /// Where the pieces begin that go on with a word, nil if there are none.
    private let inner: Int32?

    /// - Parameters:
    ///   - vocabulary: The pieces.
    ///   - unknown: The token of words that are not made of pieces.
    ///   - prefix: What pieces begin with that go on with a word.
    ///   - maximumCharacters: Longer words are unknown.
    init(vocabulary: Vocabulary, unknown: Int32, prefix: [UInt8], maximumCharacters: Int) {
        self.vocabulary = vocabulary
        self.unknown = unknown
        self.maximumCharacters = maximumCharacters
        trie = ByteTrie(vocabulary)
        inner = trie.node(of: prefix.span)
    }

    func encode(_ word: Span<UInt8>, _ cache: inout WordCache, into ids: inout [Int32]) {
        cache.tokens(of: word, into: &ids) { ids in encode(word, into: &ids) }
    }

    private func encode(_ word: Span<UInt8>, into ids: inout [Int32]) {
        let before = ids.count
        var at = 0
        if word.scalarCount <= maximumCharacters {
            while at < word.count, let root = at == 0 ? ByteTrie.root : inner,
                let (id, end) = trie.longest(in: word, at: at, below: root)
            {
                ids.append(id)
                at = end
            }
        }
        if at < word.count {
            ids.removeLast(ids.count - before)
            ids.append(unknown)
        }
    }
}

extension ByteTrie {
    /// The tokens of a vocabulary.
    init(_ vocabulary: Vocabulary) {
        self.init()
        for id in 0..<Int32(vocabulary.idLimit) {
            guard let text = vocabulary.text(of: id) else { continue }
            // Of equal texts the one counts that the vocabulary finds.
            insert(text.span, value: vocabulary.id(of: text.span) ?? id)
        }
    }
}

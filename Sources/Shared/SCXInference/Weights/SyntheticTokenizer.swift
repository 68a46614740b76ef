/// A byte-level BPE tokenizer of any size, made by rules: bytes, frequent words, then syllables and pairs of them.
struct SyntheticTokenizer {
    /// The special tokens of a family: their names, their ids, and which of them begin and end a text.
    struct Special {
        /// Their ids begin at 0.
        var first: [String] = []
        /// Their ids are the last of the vocabulary.
        var last: [String] = []
        var begin: Int?
        var end: Int
        /// The id of the token that ends a turn of a chat.
        var endOfTurn: Int

        func name(_ id: Int, of vocabularySize: Int) -> String {
            id < first.count ? first[id] : last[id - (vocabularySize - last.count)]
        }
    }

    static func special(_ family: ModelFamily, vocabularySize: Int) -> Special {
        let chat = ["<|im_start|>", "<|im_end|>"]
        switch family {
        case .llama where vocabularySize > 100_000:  // Llama 3: 256 special tokens at the end.
            let reserved = (0..<252).map { "<|reserved_special_token_\($0)|>" }
            let begin = vocabularySize - 256
            return Special(
                last: ["<|begin_of_text|>", "<|end_of_text|>"] + chat + reserved, begin: begin,
                end: begin + 1,
                endOfTurn: begin + 3)
        case .llama, .mistral, .mixtral:
            return Special(
                first: ["<unk>", "<s>", "</s>"], last: chat, begin: 1, end: 2, endOfTurn: vocabularySize - 1)
        default:
            return Special(
                last: ["<|endoftext|>"] + chat, end: vocabularySize - 3, endOfTurn: vocabularySize - 1)
        }
    }

    let special: Special
    let vocabularySize: Int
    /// The tokens that are not special, in the alphabet of byte-level BPE.
    private(set) var tokens: [String]
    private(set) var merges: [(String, String)] = []
    private var known: Set<String>

    init(_ family: ModelFamily, vocabularySize: Int) {
        special = Self.special(family, vocabularySize: vocabularySize)
        self.vocabularySize = vocabularySize
        tokens = Self.alphabet
        known = Set(tokens)
        let wanted = vocabularySize - special.first.count - special.last.count
        precondition(wanted >= tokens.count, "SyntheticTokenizer: the vocabulary is too small for bytes")
        fill(wanted)
        precondition(tokens.count == wanted, "SyntheticTokenizer: the vocabulary is too large for the rule")
    }

    private mutating func add(_ left: String, _ right: String, _ wanted: Int) {
        guard tokens.count < wanted, known.insert(left + right).inserted else { return }
        tokens.append(left + right)
        merges.append((left, right))
    }

    /// Adds a word with a space before it, letter by letter, as merging builds it.
    private mutating func addWord(_ word: some StringProtocol, _ wanted: Int) {
        var start = "Ġ"  // The alphabet's letter for a space.
        for letter in word {
            add(start, String(letter), wanted)
            start.append(letter)
        }
    }

    private mutating func fill(_ wanted: Int) {
        for word in Self.words.split(separator: " ") { addWord(word, wanted) }
        var syllables: [String] = []
        for consonant in "bcdfghjklmnprstvwz".map(String.init) {
            for vowel in "aeiou".map(String.init) {
                let open = consonant + vowel
                add(consonant, vowel, wanted)
                syllables.append(open)
                for coda in "nrslt".map(String.init) {
                    add(open, coda, wanted)
                    syllables.append(open + coda)
                }
            }
        }
        for syllable in syllables { addWord(syllable, wanted) }
        for second in syllables where tokens.count < wanted {
            for first in syllables { add("Ġ" + first, second, wanted) }
        }
    }

    private static let words = """
        the of and to in is that for it with as was on be at by this have from or one had not but what all were when we \
        there can an your which their said if do will each about how up out them then she many some so these would other \
        into has more her two like him see time could no make than first been its who now people my made over did down \
        only way find use may water long little very after words called just where most know patient doctor
        """

    /// The 256 bytes as printable characters, in the order of GPT-2: first the bytes that are printable, then the
    /// others.
    private static let alphabet: [String] = {
        let printing = Array(33...126) + Array(161...172) + Array(174...255)
        let scalars = printing + (256..<256 + 256 - printing.count)
        return scalars.compactMap { Unicode.Scalar(UInt32($0)).map { String(Character($0)) } }
    }()

    /// The content of `tokenizer.json`.
    var file: JSON {
        let all = special.first + tokens + special.last
        var added: [JSON] = []
        for (id, name) in all.enumerated()
        where id < special.first.count || id >= vocabularySize - special.last.count {
            added.append([
                "id": .int(id), "content": .string(name), "single_word": false, "lstrip": false,
                "rstrip": false,
                "normalized": false, "special": true,
            ])
        }
        let byteLevel: JSON = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        ]
        var processor = byteLevel
        if let begin = special.begin {
            let name = JSON.string(special.name(begin, of: vocabularySize))
            let token: JSON = ["SpecialToken": ["id": name, "type_id": 0]]
            processor = [
                "type": "TemplateProcessing", "single": [token, ["Sequence": ["id": "A", "type_id": 0]]],
                "pair": [
                    token, ["Sequence": ["id": "A", "type_id": 0]], ["Sequence": ["id": "B", "type_id": 0]],
                ],
                "special_tokens": .object([
                    .init(
                        special.name(begin, of: vocabularySize),
                        ["id": name, "ids": [.int(begin)], "tokens": [name]])
                ]),
            ]
        }
        return [
            "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added),
            "normalizer": .null, "pre_tokenizer": byteLevel, "post_processor": processor,
            "decoder": byteLevel,
            "model": [
                "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": false,
                "vocab": .object(all.enumerated().map { .init($1, .int($0)) }),
                "merges": .array(merges.map { [.string($0), .string($1)] }),
            ],
        ]
    }

    /// The content of `tokenizer_config.json`, with a chat template.
    func configurationFile(maximumLength: Int) -> JSON {
        let begin = special.begin.map { JSON.string(special.name($0, of: vocabularySize)) }
        return [
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin ?? .null,
            "eos_token": .string(special.name(special.endOfTurn, of: vocabularySize)),
            "add_bos_token": .bool(begin != nil), "clean_up_tokenization_spaces": false,
            "model_max_length": .int(maximumLength),
            "chat_template": .string(
                (begin == nil ? "" : "{{ bos_token }}")
                    + "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' "
                    + "+ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
                    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"),
        ]
    }
}

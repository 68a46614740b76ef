import SCXInference

/// How a byte-level tokenizer splits a text into words, which GGUF files say by a word, `tokenizer.ggml.pre`.
///
/// The rules are those of the `tokenizer.json` files of the models that the words were made for. Only words whose rules are
/// certain are known; with other rules the same text would become other tokens.
struct GGUFSplit {
    let preTokenizer: JSON
    var normalizer = JSON.null
    /// Whether a word that is a token is one, even if no merges lead to it.
    var ignoresMerges = false
    /// Whether texts begin with the first token where the file does not say.
    var beginsText = false

    /// The words that are known, for errors.
    static let known = "gpt-2, smollm, starcoder, refact, qwen2, llama-bpe, dbrx, smaug-bpe, tekken, gpt-4o"

    init?(_ word: String) {
        switch word {
        case "gpt-2", "gpt2", "phi-2", "olmo", "mpt", "jais": preTokenizer = Self.byteLevel(splits: true)
        case "smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b":
            let digits: JSON = ["type": "Digits", "individual_digits": true]
            preTokenizer = Self.sequence(digits, Self.byteLevel(splits: true))
        case "llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral":
            preTokenizer = Self.pattern("(?i:\(Self.endings))|\(Self.words)|\\p{N}{1,3}|\(Self.others)")
            (ignoresMerges, beginsText) = (true, true)
        case "dbrx", "smaug-bpe":
            preTokenizer = Self.pattern("(?i:\(Self.endings))|\(Self.words)|\\p{N}{1,3}|\(Self.others)")
        case "qwen2", "deepseek-r1-qwen", "stablelm2":
            preTokenizer = Self.pattern("(?i:\(Self.endings))|\(Self.words)|\\p{N}|\(Self.others)")
            normalizer = ["type": "NFC"]
        case "tekken":
            preTokenizer = Self.pattern("\(Self.cased(""))|\\p{N}|\(Self.othersWithSlash)")
            (ignoresMerges, beginsText) = (true, true)
        case "gpt-4o", "llama4":
            let ending = "(?i:\(Self.endings))?"
            preTokenizer = Self.pattern("\(Self.cased(ending))|\\p{N}{1,3}|\(Self.othersWithSlash)")
        default: return nil
        }
    }

    private static let endings = "'s|'t|'re|'ve|'m|'ll|'d"
    private static let words = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
    private static let spaces = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    private static let others = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\(spaces)"
    private static let othersWithSlash = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\(spaces)"

    /// Words that begin anew where a small letter is followed by a capital.
    private static func cased(_ ending: String) -> String {
        let (large, small) = ("[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]")
        let before = "[^\\r\\n\\p{L}\\p{N}]?"
        return "\(before)\(large)*\(small)+\(ending)|\(before)\(large)+\(small)*\(ending)"
    }

    private static func byteLevel(splits: Bool) -> JSON {
        ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(splits)]
    }

    private static func sequence(_ steps: JSON...) -> JSON {
        ["type": "Sequence", "pretokenizers": .array(steps)]
    }

    private static func pattern(_ expression: String) -> JSON {
        sequence(
            [
                "type": "Split", "pattern": ["Regex": .string(expression)], "behavior": "Isolated",
                "invert": false,
            ], byteLevel(splits: false))
    }
}

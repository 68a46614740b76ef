import SCXInference

/// One step that cuts text into words, between which nothing merges.
enum PreTokenizer: Sendable {
    case split(SplitPattern)
    case digits(individual: Bool)
    /// Puts a space before every word that does not begin with one.
    case prefixSpace
    case metaspace(Metaspace)

    /// Writes spaces as a visible character.
    struct Metaspace: Sendable {
        enum Prefix: String { case first, always, never }

        var replacement: Unicode.Scalar
        /// Which words get the character in front if they lack it.
        var prefix: Prefix
        /// Whether a word begins at each of the characters.
        var split: Bool
    }
}

/// Words as ranges of one text.
struct Words {
    var text: NormalizedText
    var ranges: [Range<Int>]

    init(_ text: NormalizedText) {
        self.text = text
        ranges = text.bytes.isEmpty ? [] : [0..<text.bytes.count]
    }

    /// Cuts every word further.
    fileprivate mutating func cut(_ cut: (Span<UInt8>, (Range<Int>) -> Void) -> Void) {
        var parts: [Range<Int>] = []
        parts.reserveCapacity(max(ranges.count, text.bytes.count / 4))
        for range in ranges {
            cut(text.bytes.span.extracting(range)) { part in
                parts.append(part.lowerBound + range.lowerBound..<part.upperBound + range.lowerBound)
            }
        }
        ranges = parts
    }

    /// Rewrites every word; `rewrite` appends the new one.
    fileprivate mutating func rewrite(_ rewrite: (Span<UInt8>, _ isFirst: Bool, inout [UInt8]) -> Void) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.bytes.count + ranges.count)
        var rewritten: [Range<Int>] = []
        for range in ranges {
            let start = bytes.count
            rewrite(text.bytes.span.extracting(range), text.isFirst && range.lowerBound == 0, &bytes)
            rewritten.append(start..<bytes.count)
        }
        ranges = rewritten
        text.bytes = bytes
    }
}

extension PreTokenizer {
    func apply(to words: inout Words) {
        switch self {
        case .split(let pattern): words.cut { text, part in pattern.split(text, part) }
        case .digits(let individual): words.cut { text, part in Self.cutDigits(text, individual, part) }
        case .prefixSpace:
            words.rewrite { word, _, bytes in
                if word[0] != 0x20 { bytes.append(0x20) }
                for i in word.indices { bytes.append(word[i]) }
            }
        case .metaspace(let metaspace): metaspace.apply(to: &words)
        }
    }

    private static func cutDigits(_ text: Span<UInt8>, _ individual: Bool, _ part: (Range<Int>) -> Void) {
        var start = 0
        var at = 0
        var wasDigit = false
        while at < text.count {
            let (scalar, end) = text.scalar(at: at)
            let isDigit = scalar.isNumber
            if at > start, isDigit != wasDigit || (isDigit && individual) {
                part(start..<at)
                start = at
            }
            wasDigit = isDigit
            at = end
        }
        part(start..<at)
    }
}

extension PreTokenizer.Metaspace {
    fileprivate func apply(to words: inout Words) {
        let mark = Array(String(replacement).utf8)
        words.rewrite { word, isFirst, bytes in
            if prefix == .always || (prefix == .first && isFirst), word[0] != 0x20,
                !word.hasPrefix(mark, at: 0)
            {
                bytes += mark
            }
            bytes += word.replacing([0x20], with: mark)
        }
        guard split else { return }
        words.cut { text, part in
            var start = 0
            for at in text.indices where at > start && text[at] == mark[0] && text.hasPrefix(mark, at: at) {
                part(start..<at)
                start = at
            }
            part(start..<text.count)
        }
    }
}

extension Unicode.Scalar {
    /// Whether the character is in `\p{N}`.
    var isNumber: Bool {
        switch properties.generalCategory {
        case .decimalNumber, .letterNumber, .otherNumber: true
        default: false
        }
    }
}

extension PreTokenizer {
    /// The steps of the section `pre_tokenizer`, and whether words are bytes in the end.
    struct Plan {
        var steps: [PreTokenizer] = []
        var bytewise = false
    }

    /// Reads the section `pre_tokenizer`.
    static func read(_ section: TokenizerSection, into plan: inout Plan) throws(TokenizerError) {
        let type = try section.type()
        guard !plan.bytewise || type == "Sequence" else {
            throw section.unsupported(type, "after 'ByteLevel'")
        }
        switch type {
        case "Sequence":
            for part in try section.list("pretokenizers") { try read(part, into: &plan) }
        case "Split": plan.steps.append(.split(try readSplit(section)))
        case "Digits": plan.steps.append(.digits(individual: try section.flag("individual_digits")))
        case "ByteLevel":
            if try section.flag("add_prefix_space") { plan.steps.append(.prefixSpace) }
            if try section.flag("use_regex", default: true) { plan.steps.append(.split(.gpt2)) }
            plan.bytewise = true
        case "Metaspace":
            plan.steps.append(
                .metaspace(
                    Metaspace(
                        replacement: try section.character("replacement"),
                        prefix: try readPrefix(section), split: try section.flag("split", default: true))))
        default: throw section.unsupported(type)
        }
    }

    /// Where a `Metaspace` puts its prefix, in the newer or the older spelling.
    static func readPrefix(_ section: TokenizerSection) throws(TokenizerError) -> Metaspace.Prefix {
        let name = section.json["prepend_scheme"]?.string
        let addsPrefix = try section.flag("add_prefix_space", default: true)
        guard let prefix = Metaspace.Prefix(rawValue: name ?? (addsPrefix ? "always" : "never")) else {
            throw section.malformed("has an unknown 'prepend_scheme'")
        }
        guard addsPrefix || prefix == .never else {
            throw section.malformed("has an 'add_prefix_space' against its 'prepend_scheme'")
        }
        return prefix
    }

    private static func readSplit(_ section: TokenizerSection) throws(TokenizerError) -> SplitPattern {
        guard let regex = section.json["pattern"]?["Regex"]?.string else {
            throw section.unsupported("Split", "without a regular expression")
        }
        guard let pattern = SplitPattern(regex: regex) else {
            throw section.unsupported("Split", "with the pattern \(regex.quotedForError)")
        }
        // The patterns cover the whole text, so keeping the matches alone is the same as cutting at them.
        let behavior = try section.string("behavior")
        let invert = try section.flag("invert")
        guard behavior == "Isolated" || (behavior == "Removed" && invert) else {
            throw section.unsupported("Split", "with the behavior \(behavior.quotedForError)")
        }
        return pattern
    }
}

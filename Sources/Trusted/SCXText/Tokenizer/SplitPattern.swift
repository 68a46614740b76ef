/// A published regular expression that cuts text into words, written out as a scanner.
///
/// General engines take most of the time of tokenising, and no two agree on every class, so only the exact published
/// expressions are known, each as a set of choices in one scanner. Every one of them covers every character: the
/// words, one after the other, are the text.
struct SplitPattern: Equatable, Sendable {
    /// What `'s`, `'t` and so on are: cut off as words, cut off in any case, part of the word before, or nothing.
    enum Contractions: Equatable { case exactCase, anyCase, suffixAnyCase, none }

    /// What a run of letters may be.
    enum Letters: Equatable {
        /// ` ?\p{L}+`
        case afterSpace
        /// `[^\r\n\p{L}\p{N}]?\p{L}+`
        case afterAny
        /// Upper case, then lower case, marks included, after any character as above.
        case byCase
    }

    var contractions: Contractions
    var letters: Letters
    /// Digits in a word; nil: ` ?\p{N}+`.
    var digits: Int?
    /// Whether a word of signs takes the line ends after it, and `\s*[\r\n]+` is a word.
    var lineEnds = true
    /// Whether a word of signs takes slashes as it takes line ends.
    var slashes = false

    static let gpt2 = SplitPattern(
        contractions: .exactCase, letters: .afterSpace, digits: nil, lineEnds: false)
    static let llama3 = SplitPattern(contractions: .anyCase, letters: .afterAny, digits: 3)
    static let qwen2 = SplitPattern(contractions: .anyCase, letters: .afterAny, digits: 1)
    static let o200k = SplitPattern(contractions: .suffixAnyCase, letters: .byCase, digits: 3, slashes: true)
    static let tekken = SplitPattern(contractions: .none, letters: .byCase, digits: 1, slashes: true)

    /// The scanner of a published expression, nil for any other.
    init?(regex: String) {
        let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
        let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
        let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
        let any = #"[^\r\n\p{L}\p{N}]?"#
        let spaces = #"\s*[\r\n]+|\s+(?!\S)|\s+"#
        switch regex {
        case #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: self = .gpt2
        case contractions + "|" + any + #"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"# + spaces:
            self = .llama3
        case contractions + "|" + any + #"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"# + spaces: self = .qwen2
        case any + upper + "*" + lower + "+" + contractions + "?|" + any + upper + "+" + lower + "*"
            + contractions
            + #"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"# + spaces:
            self = .o200k
        case any + upper + "*" + lower + "+|" + any + upper + "+" + lower
            + #"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"# + spaces:
            self = .tekken
        default: return nil
        }
    }

    private init(
        contractions: Contractions, letters: Letters, digits: Int?, lineEnds: Bool = true,
        slashes: Bool = false
    ) {
        self.contractions = contractions
        self.letters = letters
        self.digits = digits
        self.lineEnds = lineEnds
        self.slashes = slashes
    }

    /// Cuts UTF-8 text into words.
    ///
    /// - Parameters:
    ///   - text: Valid UTF-8.
    ///   - word: Called for each word in order.
    func split(_ text: Span<UInt8>, _ word: (Range<Int>) -> Void) {
        let scanner = Scanner(text: text)
        var at = 0
        while at < text.count {
            let end = self.end(of: at, scanner)
            word(at..<end)
            at = end
        }
    }

    /// Finds where a word ends, by the alternatives of the expressions in order.
    private func end(of start: Int, _ text: Scanner) -> Int {
        if contractions == .exactCase || contractions == .anyCase,
            let end = text.contraction(at: start, anyCase: contractions == .anyCase)
        {
            return end
        }
        let first = text.scalar(at: start)
        let isSpace = first.class == .space
        // The character that may stand before letters; a space before signs or, in GPT-2's, before anything.
        let blank = text.text[start] == 0x20 ? start + 1 : start
        let prefix = letters == .afterSpace ? blank : first.mayPrecedeLetters ? first.end : start
        switch letters {
        case .afterSpace, .afterAny:
            let end = text.run(from: prefix) { $0.isLetter }
            if end > prefix { return end }
        case .byCase:
            if let end = text.casedWord(start, prefix) {
                guard contractions == .suffixAnyCase else { return end }
                return text.contraction(at: end, anyCase: true) ?? end
            }
        }
        if let digits {
            let end = text.run(from: start, atMost: digits) { $0 == .number }
            if end > start { return end }
        } else {
            let end = text.run(from: blank) { $0 == .number }
            if end > blank { return end }
        }
        var end = text.run(from: blank) { $0.isSign }
        if end > blank {
            while lineEnds, end < text.text.count, text.isLineEnd(end) || (slashes && text.text[end] == 0x2F)
            { end += 1 }
            return end
        }
        precondition(isSpace, "the classes of characters do not cover the text")
        return text.spaces(from: start, lineEnds: lineEnds)
    }
}

/// What the expressions ask of a character: the general category as far as they tell them apart.
private enum CharacterClass: UInt8 {
    /// `\s`, which is the property White_Space.
    case space
    /// `\p{N}`.
    case number
    /// `\p{Lu}` and `\p{Lt}`.
    case upper
    /// `\p{Ll}`.
    case lower
    /// `\p{Lm}` and `\p{Lo}`, both upper and lower to the expressions.
    case caseless
    /// `\p{M}`: counts as a sign, and as a caseless letter where the expression says so.
    case mark
    case other

    var isLetter: Bool { self == .upper || self == .lower || self == .caseless }
    var isSign: Bool { self == .mark || self == .other }
    var isUpper: Bool { self == .upper || self == .caseless || self == .mark }
    var isLower: Bool { self == .lower || self == .caseless || self == .mark }

    /// The class in Unicode 16, the version of the engine that `tokenizers` uses.
    init(_ scalar: Unicode.Scalar) {
        guard !scalar.isNewer(than: 16) else {
            self = .other
            return
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter: self = .upper
        case .lowercaseLetter: self = .lower
        // U+0295 lost its case in Unicode 17.
        case .modifierLetter, .otherLetter: self = scalar == "\u{295}" ? .lower : .caseless
        case .decimalNumber, .letterNumber, .otherNumber: self = .number
        case .nonspacingMark, .spacingMark, .enclosingMark: self = .mark
        default: self = scalar.properties.isWhitespace ? .space : .other
        }
    }

    /// Classes of U+0000 to U+007F.
    static let ascii: [CharacterClass] = (0..<128).map { CharacterClass(Unicode.Scalar($0)) }
}

/// Reads characters of valid UTF-8 at byte offsets.
private struct Scanner: ~Escapable {
    let text: Span<UInt8>
    private let ascii = CharacterClass.ascii

    @_lifetime(copy text)
    init(text: Span<UInt8>) { self.text = text }

    struct Item {
        let `class`: CharacterClass
        let end: Int
        let isLineEnd: Bool

        var mayPrecedeLetters: Bool { !isLineEnd && !`class`.isLetter && `class` != .number }
    }

    func scalar(at offset: Int) -> Item {
        let byte = text[offset]
        if byte < 0x80 {
            return Item(class: ascii[Int(byte)], end: offset + 1, isLineEnd: byte == 0x0A || byte == 0x0D)
        }
        let (scalar, end) = text.scalar(at: offset)
        return Item(class: CharacterClass(scalar), end: end, isLineEnd: false)
    }

    func isLineEnd(_ offset: Int) -> Bool { text[offset] == 0x0A || text[offset] == 0x0D }

    /// The end of the run of characters that pass the test.
    func run(from start: Int, atMost limit: Int = .max, _ test: (CharacterClass) -> Bool) -> Int {
        var at = start
        var count = 0
        while at < text.count, count < limit {
            let item = scalar(at: at)
            guard test(item.class) else { break }
            at = item.end
            count += 1
        }
        return at
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d` at the offset: where it ends.
    ///
    /// In any case, the long s (U+017F) is an s too, as case folding has it.
    func contraction(at offset: Int, anyCase: Bool) -> Int? {
        guard offset + 1 < text.count, text[offset] == 0x27 else { return nil }
        let fold: UInt8 = anyCase ? 0x20 : 0
        let first = text[offset + 1] | fold
        switch first {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return offset + 2
        case 0xC5 | fold where anyCase && text[offset + 1] == 0xC5 && text[offset + 2] == 0xBF:
            return offset + 3
        default: break
        }
        guard offset + 2 < text.count else { return nil }
        switch (first, text[offset + 2] | fold) {
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return offset + 3
        default: return nil
        }
    }

    /// Upper-case letters, then lower-case ones, the first two alternatives of o200k: where the word ends.
    ///
    /// Letters without case and marks are both. The expression prefers a word with a lower-case part, even if it has to
    /// end at the last such letter of the upper-case run. With no word after the prefix, the prefix itself is one if it
    /// is a mark.
    func casedWord(_ start: Int, _ prefix: Int) -> Int? {
        var at = prefix
        var lastBoth: Int?
        while at < text.count {
            let item = scalar(at: at)
            guard item.class.isUpper else { break }
            at = item.end
            if item.class.isLower { lastBoth = at }
        }
        let lowerEnd = run(from: at) { $0.isLower }
        if lowerEnd > at { return lowerEnd }
        if let lastBoth { return lastBoth }
        if prefix > start, scalar(at: start).class == .mark { return prefix }
        return at > prefix ? at : nil
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end of the run, else all but the last space before a word.
    func spaces(from start: Int, lineEnds: Bool) -> Int {
        var at = start
        var last = start
        var afterLineEnd: Int?
        while at < text.count {
            let item = scalar(at: at)
            guard item.class == .space else { break }
            last = at
            at = item.end
            if item.isLineEnd { afterLineEnd = at }
        }
        if lineEnds, let afterLineEnd { return afterLineEnd }
        return at == text.count || last == start ? at : last
    }
}

extension Unicode.Scalar {
    /// Whether the character came with a later version of Unicode, or with none yet.
    func isNewer(than version: Int) -> Bool { properties.age.map { $0.major > version } ?? true }
}

extension Span<UInt8> {
    /// The character of valid UTF-8 that begins at the offset, and where it ends.
    func scalar(at offset: Int) -> (Unicode.Scalar, end: Int) {
        let lead = self[offset]
        let length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
        var value = length == 1 ? UInt32(lead) : UInt32(lead) & (0x7F >> UInt32(length))
        for i in 1..<Swift.max(length, 1) { value = value << 6 | UInt32(self[offset + i] & 0x3F) }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", offset + length)
    }
}

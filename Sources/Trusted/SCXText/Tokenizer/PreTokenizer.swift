import SCXInference

/// One step that cuts text into words, between which nothing merges.
enum PreTokenizer: Sendable {
    case split(TextPattern, SplitBehavior, isInverted: Bool)
    case splitAtText([UInt8], SplitBehavior, isInverted: Bool)
    /// Splits at single characters.
    case characters(Kind, SplitBehavior)
    /// Keeps runs of word characters and runs of others, without white space.
    case wordRuns
    /// Cuts where the script changes.
    case scripts
    case fixedLength(Int)
    /// Puts a space before every word that does not begin with one.
    case prefixSpace
    case metaspace(Metaspace)
    /// Writes bytes in the alphabet of byte-level vocabularies.
    case byteAlphabet

    /// Characters that are looked for one by one.
    enum Kind: Sendable {
        case whiteSpace
        case punctuation
        case number
        case scalar(Unicode.Scalar)
    }

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

extension PreTokenizer {
    /// The published expression that `ByteLevel` splits at.
    static let byteLevelPattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// How many times longer the step can make the words together, in bytes.
    var growth: Double {
        switch self {
        case .split, .splitAtText, .characters, .wordRuns, .scripts, .fixedLength: 1
        case .prefixSpace, .byteAlphabet: 2
        case .metaspace(let metaspace):
            Double(String(metaspace.replacement).utf8.count + (metaspace.prefix == .always ? 1 : 0))
        }
    }

    func apply(to words: inout Words) {
        switch self {
        case .split(let pattern, let behavior, let isInverted):
            words.split(behavior, isInverted: isInverted) { pattern.forEachMatch(in: $0, $1) }
        case .splitAtText(let text, let behavior, let isInverted):
            words.split(behavior, isInverted: isInverted) { $0.forEachOccurrence(of: text, $1) }
        case .characters(let kind, let behavior): words.split(behavior) { kind.find(in: $0, $1) }
        case .wordRuns: words.cut(Self.cutRuns)
        case .scripts: words.cut(Self.cutScripts)
        case .fixedLength(let length):
            words.cut { word, part in
                var (start, at, count) = (0, 0, 0)
                while at < word.count {
                    at = word.scalar(at: at).end
                    count += 1
                    if count == length || at == word.count {
                        part(start..<at)
                        (start, count) = (at, 0)
                    }
                }
            }
        case .prefixSpace:
            words.rewrite { word, first, bytes in
                let isAdded = word[0] != 0x20
                if isAdded { bytes.append(0x20) }
                for i in word.indices { bytes.append(word[i]) }
                return first > 0 && isAdded ? first + 1 : first
            }
        case .metaspace(let metaspace): metaspace.apply(to: &words)
        case .byteAlphabet:
            words.rewrite { word, first, bytes in
                let start = bytes.count
                var newFirst = 0
                for i in word.indices {
                    bytes += ByteAlphabet.texts[Int(word[i])]
                    if i < first { newFirst = bytes.count - start }
                }
                return newFirst
            }
        }
    }

    private static func cutRuns(_ word: Span<UInt8>, _ part: (Range<Int>) -> Void) {
        enum Kind { case word, other, space }
        var (start, at) = (0, 0)
        var last = Kind.space
        while at < word.count {
            let (scalar, end) = word.scalar(at: at)
            let kind: Kind =
                UnicodeTables.word.contains(scalar)
                ? .word : UnicodeTables.whiteSpace.contains(scalar) ? .space : .other
            if kind != last {
                if last != .space { part(start..<at) }
                (start, last) = (at, kind)
            }
            at = end
        }
        if last != .space { part(start..<at) }
    }

    /// Cuts as SentencePiece's trainer does: kana go with Chinese characters, and a space with anything.
    ///
    /// What stands before the first character that has a script is left out, as the package does it.
    private static func cutScripts(_ word: Span<UInt8>, _ part: (Range<Int>) -> Void) {
        var start: Int?
        var at = 0
        var last: UInt8 = 0
        while at < word.count {
            let (scalar, end) = word.scalar(at: at)
            let script = UnicodeTables.legacyScripts[scalar.value]
            if script != 0, script != last {
                if let start { part(start..<at) }
                (start, last) = (at, script)
            }
            at = end
        }
        if let start { part(start..<at) }
    }
}

extension PreTokenizer.Kind {
    fileprivate func find(in word: Span<UInt8>, _ match: (Range<Int>) -> Void) {
        switch self {
        case .scalar(let scalar): word.forEachOccurrence(of: Array(String(scalar).utf8), match)
        case .whiteSpace: Self.find(UnicodeTables.whiteSpace, in: word, match)
        case .punctuation: Self.find(UnicodeTables.punctuation, in: word, match)
        case .number: Self.find(UnicodeTables.numeric, in: word, match)
        }
    }

    private static func find(_ set: ScalarMap, in word: Span<UInt8>, _ match: (Range<Int>) -> Void) {
        var at = 0
        while at < word.count {
            let (scalar, end) = word.scalar(at: at)
            if set.contains(scalar) { match(at..<end) }
            at = end
        }
    }
}

extension PreTokenizer.Metaspace {
    fileprivate func apply(to words: inout Words) {
        let mark = Array(String(replacement).utf8)
        words.rewrite { word, first, bytes in
            let start = bytes.count
            var newFirst = 0
            if prefix == .always || (prefix == .first && first > 0), word[0] != 0x20,
                !word.hasPrefix(mark, at: 0)
            {
                bytes += mark
                if first > 0 { newFirst = mark.count }
            }
            for i in word.indices {
                if word[i] == 0x20 { bytes += mark } else { bytes.append(word[i]) }
                if i < first { newFirst = bytes.count - start }
            }
            return newFirst
        }
        guard split else { return }
        words.split(.mergedWithNext) { $0.forEachOccurrence(of: mark, $1) }
    }
}

import SCXInference

/// One step from the texts of tokens to plain text.
enum TokenDecoder: Sendable {
    /// Puts a space between tokens: what a file without a decoder means.
    case spaced
    /// Reads the byte alphabet, and all bytes as one UTF-8 text.
    case bytes
    /// Turns tokens such as `<0x0A>` into bytes.
    case byteFallback
    /// Turns the character into spaces, and drops it in the first token if asked to.
    case metaspace(Unicode.Scalar, dropsFirst: Bool)
    /// Puts a space before every token but the first and those with the prefix, which loses it.
    case wordPiece(prefix: [UInt8], cleansUp: Bool)
    /// Turns the suffix of a word's last token into a space, and drops it in the last token.
    case suffix([UInt8])
    /// Leaves out tokens that repeat the one before, and the padding, and turns the delimiter into spaces.
    case ctc(padding: [UInt8], delimiter: [UInt8], cleansUp: Bool)
    case replace([UInt8], with: [UInt8])
    case replaceMatches(TextPattern, with: [UInt8])
    /// Removes a character up to so many times at the start and the end of each token.
    case stripTokens(Unicode.Scalar, start: Int, end: Int)
    /// Removes a character up to so many times at the start and the end of the text.
    case stripText([UInt8], start: Int, end: Int)
    /// Makes one token of all, for steps that could not tell where tokens were.
    case joined

    /// How many times longer the step can make a token.
    var growth: Double {
        switch self {
        case .replace(let pattern, let content): max(1, Double(content.count) / Double(pattern.count))
        case .replaceMatches(let pattern, let content): pattern.growth(replacedBy: content)
        case .bytes: 3  // a byte that is no UTF-8 becomes U+FFFD
        case .spaced, .wordPiece: 2
        default: 1
        }
    }

    /// Reads the section `decoder`.
    static func read(_ section: TokenizerSection) throws(TokenizerError) -> [TokenDecoder] {
        var steps: [TokenDecoder] = []
        // Whether the steps so far made one text of all tokens, and whether they say so to the next.
        var (isFused, isJoined) = (false, false)
        for part in try section.flattened("decoders") {
            let type = try part.type()
            switch type {
            case "Fuse": isFused = true
            case "Strip" where isFused && !isJoined:
                let content = Array(String(try part.character("content")).utf8)
                steps.append(.stripText(content, start: try part.count("start"), end: try part.count("stop")))
            default:
                if isFused, !isJoined {
                    steps.append(.joined)
                    isJoined = true
                }
                steps.append(try read(step: part, type))
                if type == "ByteLevel" { isFused = true }
            }
        }
        return steps
    }

    private static func read(step section: TokenizerSection, _ type: String) throws(TokenizerError)
        -> TokenDecoder
    {
        switch type {
        case "ByteLevel": return .bytes
        case "ByteFallback": return .byteFallback
        case "Metaspace":
            let dropsFirst = try PreTokenizer.readPrefix(section) != .never
            return .metaspace(try section.character("replacement"), dropsFirst: dropsFirst)
        case "WordPiece":
            return .wordPiece(
                prefix: Array(try section.string("prefix").utf8), cleansUp: try section.flag("cleanup"))
        case "BPEDecoder":
            let suffix = Array(try section.string("suffix").utf8)
            guard !suffix.isEmpty else { throw section.malformed("has an empty 'suffix'") }
            return .suffix(suffix)
        case "CTC":
            let padding = Array(try section.string("pad_token").utf8)
            let delimiter = Array(try section.string("word_delimiter_token").utf8)
            guard !delimiter.isEmpty else { throw section.malformed("has an empty 'word_delimiter_token'") }
            return .ctc(padding: padding, delimiter: delimiter, cleansUp: try section.flag("cleanup"))
        case "Replace":
            let content = Array(try section.string("content").utf8)
            return switch try section.pattern() {
            case .text(let text): .replace(text, with: content)
            case .expression(let pattern): .replaceMatches(pattern, with: content)
            }
        case "Strip":
            return .stripTokens(
                try section.character("content"), start: try section.count("start"),
                end: try section.count("stop"))
        default: throw section.unsupported(type)
        }
    }
}

extension TokenDecoder {
    /// What `WordPiece` and `CTC` do to English, in this order.
    private static let cleanings: [(pattern: [UInt8], content: [UInt8])] = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ].map { (Array($0.utf8), Array($1.utf8)) }

    static func cleanUp(_ token: [UInt8]) -> [UInt8] {
        cleanings.reduce(token) { $0.contains(0x20) ? $0.span.replacing($1.pattern, with: $1.content) : $0 }
    }

    /// A token as `wordPiece` writes it.
    static func piece(_ token: [UInt8], isFirst: Bool, _ prefix: [UInt8], cleansUp: Bool) -> [UInt8] {
        let text: [UInt8] =
            isFirst ? token : token.starts(with: prefix) ? Array(token[prefix.count...]) : [0x20] + token
        return cleansUp ? cleanUp(text) : text
    }

    /// A token as `ctc` writes it.
    static func sound(
        _ token: [UInt8], _ padding: [UInt8], _ delimiter: [UInt8], cleansUp: Bool
    ) -> [UInt8] {
        let text = padding.isEmpty ? token : token.span.replacing(padding, with: [])
        return cleansUp ? cleanUp(text).span.replacing(delimiter, with: [0x20]) : text
    }

    /// A token with all matches replaced.
    static func replaceMatches(_ pattern: TextPattern, with content: [UInt8], in token: [UInt8]) -> [UInt8] {
        guard !token.isEmpty else { return token }
        var replacing = Replacing(NormalizedText(bytes: token, isFirst: false), content)
        pattern.forEachMatch(in: token.span) { replacing.replace($0) }
        return replacing.finish().bytes
    }
}

import SCXInference

/// One step that changes text before it is cut into words.
enum Normalizer: Sendable {
    case unicode(NormalizationForm)
    case lowercase
    case prepend([UInt8])
    case replaceText([UInt8], with: [UInt8])
    case replace(TextPattern, with: [UInt8])
    case strip(left: Bool, right: Bool)
    /// Removes combining marks.
    case stripAccents
    /// Removes control characters and makes spaces of all white space and some invisible characters.
    case nmt
    case bert(Bert)
    case characterMap(CharacterMap)
    /// Writes bytes in the alphabet of byte-level vocabularies.
    case byteAlphabet

    /// `BertNormalizer`.
    struct Bert: Sendable {
        /// Whether control characters go and white space becomes spaces.
        var cleans: Bool
        /// Whether a space goes before and after each Chinese character.
        var separatesChinese: Bool
        var stripsAccents: Bool
        var lowercases: Bool
    }
}

extension Normalizer {
    /// How many times longer the step can make a text, in bytes.
    var growth: Double {
        switch self {
        case .unicode(let form): form.growth
        case .lowercase: Self.growthInLowercase
        case .prepend, .strip, .stripAccents, .nmt: 1
        case .replaceText(let pattern, let content): max(1, Double(content.count) / Double(pattern.count))
        case .replace(let pattern, let content): pattern.growth(replacedBy: content)
        case .bert(let bert):
            (bert.separatesChinese ? 5 / 3 : 1) * (bert.stripsAccents ? NormalizationForm.nfd.growth : 1)
                * (bert.lowercases ? Self.growthInLowercase : 1)
        case .characterMap(let map): map.growth
        case .byteAlphabet: 2
        }
    }

    /// U+0130 and U+023A have two bytes, and three in lower case.
    private static let growthInLowercase = 1.5

    /// How many bytes the step adds to any text.
    var addition: Int {
        switch self {
        case .prepend(let prefix): prefix.count
        case .replace(let pattern, let content) where pattern.minimumLength == 0: content.count
        default: 0
        }
    }

    func apply(to text: inout NormalizedText) {
        switch self {
        case .unicode(let form): form.normalize(&text)
        case .lowercase: Self.lowercase(&text)
        case .prepend(let prefix):
            guard !text.bytes.isEmpty else { return }
            text = NormalizedText(
                bytes: prefix + text.bytes,
                firstCount: text.firstCount > 0 ? text.firstCount + prefix.count : 0)
        case .replaceText(let pattern, let content): Self.replace(pattern, with: content, in: &text)
        case .replace(let pattern, let content): Self.replace(pattern, with: content, in: &text)
        case .strip(let left, let right): Self.strip(&text, left: left, right: right)
        case .stripAccents: Self.keep(&text) { !UnicodeTables.combining.contains($0) }
        case .nmt: Self.applyNmt(to: &text)
        case .bert(let bert): bert.apply(to: &text)
        case .characterMap(let map): map.apply(to: &text)
        case .byteAlphabet:
            text.rewrite { _, bytes, result in
                for i in bytes.indices { result += ByteAlphabet.texts[Int(bytes[i])] }
            }
        }
    }

    static func lowercase(_ text: inout NormalizedText) {
        if text.bytes.allSatisfy({ $0 < 0x80 }) {
            for i in text.bytes.indices where (0x41...0x5A).contains(text.bytes[i]) { text.bytes[i] |= 0x20 }
            return
        }
        text.rewrite { scalar, bytes, result in
            if scalar.value < 0x80 {
                result.append(UInt8(scalar.value) | ((0x41...0x5A).contains(scalar.value) ? 0x20 : 0))
            } else {
                result += scalar.properties.lowercaseMapping.utf8
            }
        }
    }

    static func keep(_ text: inout NormalizedText, _ isKept: (Unicode.Scalar) -> Bool) {
        text.rewrite { scalar, bytes, result in
            if isKept(scalar) { for i in bytes.indices { result.append(bytes[i]) } }
        }
    }

    private static func applyNmt(to text: inout NormalizedText) {
        text.rewrite { scalar, bytes, result in
            switch scalar.value {
            case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: break
            case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
                result.append(0x20)
            default: for i in bytes.indices { result.append(bytes[i]) }
            }
        }
    }

    private static func strip(_ text: inout NormalizedText, left: Bool, right: Bool) {
        let bytes = text.bytes
        let span = bytes.span
        var (start, end) = (0, span.count)
        while left, start < end {
            let (scalar, next) = span.scalar(at: start)
            guard UnicodeTables.whiteSpace.contains(scalar) else { break }
            start = next
        }
        while right, start < end, let (scalar, before) = span.scalar(before: end),
            UnicodeTables.whiteSpace.contains(scalar)
        {
            end = before
        }
        text = NormalizedText(
            bytes: Array(bytes[start..<end]), firstCount: max(0, text.firstCount - start))
    }

    private static func replace(_ pattern: [UInt8], with content: [UInt8], in text: inout NormalizedText) {
        var replacing = Replacing(text, content)
        let bytes = text.bytes
        bytes.span.forEachOccurrence(of: pattern) { replacing.replace($0) }
        text = replacing.finish()
    }

    private static func replace(_ pattern: TextPattern, with content: [UInt8], in text: inout NormalizedText)
    {
        var replacing = Replacing(text, content)
        let bytes = text.bytes
        if !bytes.isEmpty { pattern.forEachMatch(in: bytes.span) { replacing.replace($0) } }
        text = replacing.finish()
    }
}

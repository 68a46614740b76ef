import SCXInference

// Foundation's normalisation on Linux gets some sequences wrong (U+10041 with an accent becomes a Latin letter); the
// standard library's own, which compares strings, is right but hidden where the library ships with the system.
#if canImport(Darwin)
    import Foundation
#else
    @_spi(_Unicode) import Swift
#endif

/// One step that changes text before it is cut into words.
enum Normalizer: Sendable {
    case unicode(NormalizationForm)
    case lowercase
    case prepend([UInt8])
    case replace([UInt8], with: [UInt8])
    case strip(left: Bool, right: Bool)

    enum NormalizationForm: String { case nfc = "NFC", nfd = "NFD" }
}

/// Text that normalizers work on.
struct NormalizedText {
    var bytes: [UInt8]
    /// Whether the text begins where the user's text does, which one kind of prefix asks for.
    var isFirst: Bool
}

extension Normalizer {
    /// How many times longer the step can make a text.
    var growth: Int {
        if case .replace(let pattern, let content) = self {
            max(1, (content.count + pattern.count - 1) / pattern.count)
        } else {
            1
        }
    }

    func apply(to text: inout NormalizedText) {
        switch self {
        case .unicode(let form): text.bytes = form.normalize(text.bytes)
        case .lowercase: text.bytes = Self.lowercase(text.bytes)
        case .prepend(let prefix): if !text.bytes.isEmpty { text.bytes = prefix + text.bytes }
        case .replace(let pattern, let content):
            let bytes = text.bytes
            if bytes.starts(with: pattern), bytes.span.scalar(at: 0).end < pattern.count {
                // The replacement counts as standing where the last replaced character stood.
                text.isFirst = false
            }
            text.bytes = bytes.span.replacing(pattern, with: content)
        case .strip(let left, let right): Self.strip(&text, left: left, right: right)
        }
    }

    private static func lowercase(_ bytes: [UInt8]) -> [UInt8] {
        var lower: [UInt8] = []
        lower.reserveCapacity(bytes.count)
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            lower.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        }
        return lower
    }

    private static func strip(_ text: inout NormalizedText, left: Bool, right: Bool) {
        let scalars = String(decoding: text.bytes, as: UTF8.self).unicodeScalars
        var rest = scalars[...]
        if left { rest = rest.drop { $0.properties.isWhitespace } }
        if rest.startIndex > scalars.startIndex { text.isFirst = false }
        while right, let last = rest.last, last.properties.isWhitespace { rest.removeLast() }
        text.bytes = Array(String(rest).utf8)
    }
}

extension Normalizer.NormalizationForm {
    /// Normalises by the tables of Unicode 9, which `tokenizers` has.
    ///
    /// Characters that came later are starters there that neither decompose nor compose: the text between them is
    /// normalised piece by piece, with newer tables that agree on all older characters.
    func normalize(_ bytes: [UInt8]) -> [UInt8] {
        // Every character below U+0300 is its own NFC, and every ASCII character its own NFD.
        let inert: UInt8 = self == .nfc ? 0xCC : 0x80
        if bytes.allSatisfy({ $0 < inert }) { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var run = String.UnicodeScalarView()
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar.value >= 0x80, scalar.isNewer(than: 9) {
                append(String(run), to: &result)
                run.removeAll(keepingCapacity: true)
                result.append(contentsOf: UTF8.encode(scalar) ?? .init())
            } else if let parts = Self.tibetan[scalar] {
                run.append(contentsOf: parts)
            } else {
                run.append(scalar)
            }
        }
        append(String(run), to: &result)
        return result
    }

    /// The characters that the standard library sorts among other marks as if they were starters.
    private static let tibetan: [Unicode.Scalar: [Unicode.Scalar]] = [
        "\u{F73}": ["\u{F71}", "\u{F72}"],
        "\u{F75}": ["\u{F71}", "\u{F74}"],
        "\u{F81}": ["\u{F71}", "\u{F80}"],
    ]

    private func append(_ run: String, to result: inout [UInt8]) {
        #if canImport(Darwin)
            let normal =
                self == .nfc
                ? run.precomposedStringWithCanonicalMapping
                : run.decomposedStringWithCanonicalMapping
            result.append(contentsOf: normal.utf8)
        #else
            switch self {
            case .nfc: for scalar in run._nfc { result.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
            case .nfd: for scalar in run._nfd { result.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
            }
        #endif
    }
}

extension Span<UInt8> {
    func hasPrefix(_ prefix: [UInt8], at offset: Int) -> Bool {
        guard offset >= 0, count - offset >= prefix.count else { return false }
        for i in prefix.indices where self[offset + i] != prefix[i] { return false }
        return true
    }

    /// The bytes with every occurrence of a pattern (not empty) replaced, from left to right.
    func replacing(_ pattern: [UInt8], with content: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var at = 0
        while at < count {
            if self[at] == pattern[0], hasPrefix(pattern, at: at) {
                result.append(contentsOf: content)
                at += pattern.count
            } else {
                result.append(self[at])
                at += 1
            }
        }
        return result
    }
}

extension Normalizer {
    /// Reads the section `normalizer`: the steps in order.
    static func read(_ section: TokenizerSection) throws(TokenizerError) -> [Normalizer] {
        switch try section.type() {
        case "Sequence":
            var steps: [Normalizer] = []
            for part in try section.list("normalizers") { steps += try read(part) }
            return steps
        case "Lowercase": return [.lowercase]
        case "Prepend":
            let prefix = Array(try section.string("prepend").utf8)
            return prefix.isEmpty ? [] : [.prepend(prefix)]
        case "Replace":
            return [.replace(try section.pattern(), with: Array(try section.string("content").utf8))]
        case "Strip":
            return [.strip(left: try section.flag("strip_left"), right: try section.flag("strip_right"))]
        case let type:
            guard let form = NormalizationForm(rawValue: type) else { throw section.unsupported(type) }
            return [.unicode(form)]
        }
    }
}

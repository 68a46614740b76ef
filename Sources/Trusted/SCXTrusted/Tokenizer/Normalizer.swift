import Foundation
import SCXInference

/// One step that changes text before it is cut into words.
enum Normalizer: Sendable {
    case unicode(NormalizationForm)
    case lowercase
    case prepend([UInt8])
    case replace([UInt8], with: [UInt8])
    case strip(left: Bool, right: Bool)

    enum NormalizationForm: String { case nfc = "NFC", nfd = "NFD", nfkc = "NFKC", nfkd = "NFKD" }
}

/// Text that normalizers work on.
struct NormalizedText {
    var bytes: [UInt8]
    /// Whether the text begins where the user's text does, which one kind of prefix asks for.
    var isFirst: Bool
}

extension Normalizer {
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
            if scalar.isNewer(than: 16) {
                lower.append(contentsOf: UTF8.encode(scalar) ?? .init())
            } else {
                lower.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            }
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
        // Every character below U+0300 is its own NFC, every ASCII character is its own in all forms.
        let inert: UInt8 = self == .nfc ? 0xCC : 0x80
        if bytes.allSatisfy({ $0 < inert }) { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var run = ""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar.value >= 0x80, scalar.isNewer(than: 9) {
                result.append(contentsOf: normalize(run).utf8)
                run = ""
                result.append(contentsOf: UTF8.encode(scalar) ?? .init())
            } else {
                run.unicodeScalars.append(scalar)
            }
        }
        result.append(contentsOf: normalize(run).utf8)
        return result
    }

    private func normalize(_ run: String) -> String {
        switch self {
        case .nfc: run.precomposedStringWithCanonicalMapping
        case .nfd: run.decomposedStringWithCanonicalMapping
        case .nfkc: run.precomposedStringWithCompatibilityMapping
        case .nfkd: run.decomposedStringWithCompatibilityMapping
        }
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

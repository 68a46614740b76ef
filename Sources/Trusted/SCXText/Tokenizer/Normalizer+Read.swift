import SCXInference

extension Normalizer {
    /// Reads the section `normalizer`: the steps in order.
    static func read(_ section: TokenizerSection) throws(TokenizerError) -> [Normalizer] {
        var steps: [Normalizer] = []
        for part in try section.flattened("normalizers") {
            if let step = try read(step: part) { steps.append(step) }
        }
        return steps
    }

    private static func read(step section: TokenizerSection) throws(TokenizerError) -> Normalizer? {
        switch try section.type() {
        case "Lowercase": return .lowercase
        case "Prepend":
            let prefix = Array(try section.string("prepend").utf8)
            return prefix.isEmpty ? nil : .prepend(prefix)
        case "Replace":
            let content = Array(try section.string("content").utf8)
            switch try section.pattern() {
            case .text(let text): return .replaceText(text, with: content)
            case .expression(let pattern): return .replace(pattern, with: content)
            }
        case "Strip":
            return .strip(left: try section.flag("strip_left"), right: try section.flag("strip_right"))
        case "StripAccents": return .stripAccents
        case "Nmt": return .nmt
        case "BertNormalizer":
            let lowercases = try section.flag("lowercase")
            return .bert(
                Bert(
                    cleans: try section.flag("clean_text"),
                    separatesChinese: try section.flag("handle_chinese_chars"),
                    stripsAccents: try section.flag("strip_accents", default: lowercases),
                    lowercases: lowercases))
        case "Precompiled":
            guard let map = CharacterMap(base64: try section.string("precompiled_charsmap")) else {
                throw section.malformed("has a damaged 'precompiled_charsmap'")
            }
            return .characterMap(map)
        case "ByteLevel": return .byteAlphabet
        case let type:
            guard let form = NormalizationForm(rawValue: type) else { throw section.unsupported(type) }
            return .unicode(form)
        }
    }
}

extension Normalizer.Bert {
    func apply(to text: inout NormalizedText) {
        if cleans || separatesChinese {
            text.rewrite { scalar, bytes, result in
                var isSpace = false
                if cleans {
                    if UnicodeTables.removedByCleaning.contains(scalar) { return }
                    isSpace = UnicodeTables.whiteSpace.contains(scalar)
                }
                let isChinese = separatesChinese && Self.isChinese(scalar.value)
                if isChinese || isSpace { result.append(0x20) }
                if !isSpace { for i in bytes.indices { result.append(bytes[i]) } }
                if isChinese { result.append(0x20) }
            }
        }
        if stripsAccents {
            NormalizationForm.nfd.normalize(&text)
            Normalizer.keep(&text) { !UnicodeTables.nonspacing.contains($0) }
        }
        if lowercases { Normalizer.lowercase(&text) }
    }

    /// The ranges that the original BERT names, one of them with its misprint.
    private static func isChinese(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}

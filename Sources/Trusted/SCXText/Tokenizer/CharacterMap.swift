/// The normalizer `Precompiled`: SentencePiece's table from short texts to their replacements.
///
/// The table is a trie in a double array (Aoe 1989, as the library Darts-clone lays it out) whose values are places in a
/// buffer of texts that each end in U+0000. As in the package that `tokenizers` uses, a grapheme of less than six bytes
/// is looked up as a whole, and the *shortest* entry that it begins with replaces all of it; what is longer, or not found,
/// is looked up character by character.
struct CharacterMap: Sendable {
    private let units: [UInt32]
    private let texts: [UInt8]
    /// What each ASCII character becomes; nil for itself.
    private let ascii: [[UInt8]?]
    /// How many times longer it can make a text.
    let growth: Double

    /// Greatest size accepted, in bytes; the published ones have 240 KB.
    private static let maximumSize = 1 << 24

    /// Takes a table as files hold it; nil if it is damaged.
    init?(base64: String) {
        guard base64.utf8.count <= Self.maximumSize, let bytes = Base64.decode(base64.utf8), bytes.count >= 4
        else {
            return nil
        }
        func number(_ at: Int) -> UInt32 {
            UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(
                bytes[at + 3]) << 24
        }
        let size = Int(number(0)) / 4 * 4
        guard size >= 4, size <= bytes.count - 4 else { return nil }
        let units = stride(from: 4, to: 4 + size, by: 4).map(number)
        let texts = Array(bytes[(4 + size)...])
        guard (try? UTF8Span(validating: texts.span)) != nil else { return nil }
        var longest = 0
        var length = 0
        for byte in texts {
            length = byte == 0 ? 0 : length + 1
            longest = max(longest, length)
        }
        let ascii: [[UInt8]?] = (0..<128).map { byte in
            let character = [UInt8(byte)]
            return Self.lookUp(character.span, units, texts).map { Array(texts[$0]) }
        }
        (self.units, self.texts, self.ascii) = (units, texts, ascii)
        // Other characters have two bytes at least. U+FDFA, of three, becomes 33 in the published tables.
        growth = max(1, Double(longest) / 2, Double(ascii.compactMap { $0?.count }.max() ?? 0))
    }

    /// Where the replacement of the shortest entry that a text begins with lies.
    private static func lookUp(_ text: Span<UInt8>, _ units: [UInt32], _ texts: [UInt8]) -> Range<Int>? {
        func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }
        var node = offset(units[0])
        for i in text.indices {
            let byte = text[i]
            guard byte != 0 else { return nil }
            node ^= Int(byte)
            guard node < units.count else { return nil }
            let unit = units[node]
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
            node ^= offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard node < units.count else { return nil }
            let start = Int(units[node] & (1 << 31 - 1))
            guard start <= texts.count else { return nil }
            var end = start
            while end < texts.count, texts[end] != 0 { end += 1 }
            return start..<end
        }
        return nil
    }

    func apply(to text: inout NormalizedText) {
        var result: [UInt8] = []
        result.reserveCapacity(text.bytes.count)
        var origins = OriginTracker(text)
        let bytes = text.bytes
        var at = 0
        while at < bytes.count {
            // A character of ASCII that no mark can follow is a grapheme of its own.
            let byte = bytes[at]
            if byte < 0x80, byte != 0x0D, at + 1 == bytes.count || bytes[at + 1] < 0x80 {
                if let replacement = ascii[Int(byte)] {
                    origins.replace(1, by: replacement)
                    result += replacement
                } else {
                    origins.take(1, change: 0)
                    result.append(byte)
                }
                at += 1
                continue
            }
            let end = Self.endOfRun(bytes, from: at)
            for grapheme in String(decoding: bytes[at..<end], as: UTF8.self) {
                apply(to: Array(grapheme.utf8), into: &result, &origins)
            }
            at = end
        }
        text = NormalizedText(bytes: result, firstCount: origins.finish())
    }

    /// The end of a part of the text that begins and ends with a grapheme: between two ASCII characters.
    private static func endOfRun(_ bytes: [UInt8], from start: Int) -> Int {
        var at = start + 1
        while at < bytes.count {
            if bytes[at - 1] < 0x80, bytes[at] < 0x80, bytes[at - 1] != 0x0D || bytes[at] != 0x0A {
                return at
            }
            at += 1
        }
        return at
    }

    private func apply(to grapheme: [UInt8], into result: inout [UInt8], _ origins: inout OriginTracker) {
        let span = grapheme.span
        if grapheme.count < 6, let range = Self.lookUp(span, units, texts) {
            origins.replace(span.scalarCount, by: texts[range])
            result += texts[range]
            return
        }
        var at = 0
        while at < span.count {
            let end = span.scalar(at: at).end
            if let range = Self.lookUp(span.extracting(at..<end), units, texts) {
                origins.replace(1, by: texts[range])
                result += texts[range]
            } else {
                origins.take(end - at, change: 0)
                result += grapheme[at..<end]
            }
            at = end
        }
    }
}

extension Span<UInt8> {
    /// The number of characters of valid UTF-8.
    var scalarCount: Int {
        var count = 0
        for i in indices where self[i] & 0xC0 != 0x80 { count += 1 }
        return count
    }
}

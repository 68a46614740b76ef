import SCXInference

/// Reads a literal of Python, or of JSON, as a model writes it in a call.
enum PythonLiteral {
    private static let deepest = 64

    /// The literal as JSON text; nil for what is none.
    static func json(of text: String) -> String? {
        var reader = Reader(bytes: Array(text.utf8))
        var result = ""
        reader.skipSpace()
        guard reader.value(into: &result, depth: 0) else { return nil }
        reader.skipSpace()
        return reader.at == reader.bytes.count ? result : nil
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        var next: UInt8? { at < bytes.count ? bytes[at] : nil }

        mutating func skipSpace() {
            while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { at += 1 }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard next == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        mutating func value(into json: inout String, depth: Int) -> Bool {
            guard depth < PythonLiteral.deepest, let first = next else { return false }
            switch first {
            case UInt8(ascii: "["): return list(until: "]", into: &json, depth: depth)
            case UInt8(ascii: "("): return list(until: ")", into: &json, depth: depth)
            case UInt8(ascii: "{"): return dict(into: &json, depth: depth)
            case UInt8(ascii: "'"), UInt8(ascii: "\""):
                guard let text = string() else { return false }
                json += JSON.string(text).text
                return true
            default: return word(into: &json)
            }
        }

        private mutating func word(into json: inout String) -> Bool {
            let start = at
            while let byte = next, !" \t\r\n,]){}:".utf8.contains(byte) { at += 1 }
            let word = String(decoding: bytes[start..<at], as: UTF8.self)
            switch word {
            case "None", "null": json += "null"
            case "True", "true": json += "true"
            case "False", "false": json += "false"
            default:
                guard let value = try? JSON(parsing: word), value.double?.isFinite == true else {
                    return false
                }
                json += word
            }
            return true
        }

        private mutating func list(until end: Unicode.Scalar, into json: inout String, depth: Int) -> Bool {
            at += 1
            json += "["
            var isFirst = true
            while true {
                skipSpace()
                if take(end) { break }
                if !isFirst {
                    guard take(",") else { return false }
                    skipSpace()
                    if take(end) { break }
                    json += ", "
                }
                isFirst = false
                guard value(into: &json, depth: depth + 1) else { return false }
            }
            json += "]"
            return true
        }

        private mutating func dict(into json: inout String, depth: Int) -> Bool {
            at += 1
            json += "{"
            var isFirst = true
            while true {
                skipSpace()
                if take("}") { break }
                if !isFirst {
                    guard take(",") else { return false }
                    skipSpace()
                    if take("}") { break }
                    json += ", "
                }
                isFirst = false
                guard let name = string() else { return false }
                skipSpace()
                guard take(":") else { return false }
                skipSpace()
                json += JSON.string(name).text + ": "
                guard value(into: &json, depth: depth + 1) else { return false }
            }
            json += "}"
            return true
        }

        /// A string between one or three quotes of either kind.
        private mutating func string() -> String? {
            guard let quote = next, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
                return nil
            }
            let isLong = bytes[at...].prefix(3).elementsEqual([quote, quote, quote])
            at += isLong ? 3 : 1
            var text: [UInt8] = []
            while let byte = next {
                if byte == quote, !isLong || bytes[at...].prefix(3).elementsEqual([quote, quote, quote]) {
                    at += isLong ? 3 : 1
                    return String(decoding: text, as: UTF8.self)
                }
                at += 1
                if byte == UInt8(ascii: "\\") {
                    guard escape(into: &text) else { return nil }
                } else {
                    text.append(byte)
                }
            }
            return nil
        }

        private mutating func escape(into text: inout [UInt8]) -> Bool {
            guard let byte = next else { return false }
            at += 1
            switch byte {
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "0"): text.append(0)
            case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "/"):
                text.append(byte)
            case 0x0A: break
            case UInt8(ascii: "x"), UInt8(ascii: "u"), UInt8(ascii: "U"):
                guard
                    let unit = hexadecimal(byte == UInt8(ascii: "x") ? 2 : byte == UInt8(ascii: "u") ? 4 : 8)
                else { return false }
                var scalar = Unicode.Scalar(unit)
                // JSON writes what lies beyond 16 bits as a pair.
                if (0xD800..<0xDC00).contains(unit), bytes[at...].prefix(2).elementsEqual("\\u".utf8) {
                    at += 2
                    guard let low = hexadecimal(4), (0xDC00..<0xE000).contains(low) else { return false }
                    scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
                }
                text += Array(String(scalar ?? "\u{FFFD}").utf8)
            default: text += [UInt8(ascii: "\\"), byte]
            }
            return true
        }

        private mutating func hexadecimal(_ count: Int) -> UInt32? {
            guard at + count <= bytes.count else { return nil }
            let digits = String(decoding: bytes[at..<(at + count)], as: UTF8.self)
            guard digits.allSatisfy(\.isHexDigit) else { return nil }
            at += count
            return UInt32(digits, radix: 16)
        }
    }
}

import SCXInference

/// Reads a call as Gemma writes it, `call:NAME{key:<|"|>text<|"|>,other:[1,{inner:true}]}`, and writes its arguments as JSON.
///
/// Keys have no quotation marks, and texts have a mark of the family's own at both ends. Texts pass while they arrive.
struct QuotedCallReader: Sendable {
    private enum Place {
        /// In `call:` and the function's name.
        case header
        /// Before a key, or the end of an object.
        case member
        case key
        /// Before a value, or the end of a list.
        case value
        /// In what may be the mark before a text.
        case opening
        case text
        /// In a text between quotation marks, as JSON has it; whether the last byte escapes the next one.
        case string(isEscaped: Bool)
        /// In a number, `true` and the like.
        case word
        /// After a value.
        case after
    }

    private static let longestName = 512
    private static let deepest = 128
    private static let prefix = Array("call:".utf8)

    private let quote: [UInt8]
    private var place = Place.header
    /// Bytes of the header, a key or a word.
    private var token: [UInt8] = []
    /// Bytes of a mark that is not complete.
    private var partial: [UInt8] = []
    /// Objects and lists around this place; whether each is an object.
    private var containers: [Bool] = []
    /// Whether a comma stands before the next key or element.
    private var needsComma = false
    /// Whether the object or list may end here: at its beginning or after a comma.
    private var isFirst = false

    /// - Parameter quote: Stands at both ends of a text; not empty.
    init(quote: String) { self.quote = Array(quote.utf8) }

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        switch place {
        case .header: return readHeader(byte, into: &arguments)
        case .member:
            if byte.isSpace { return .onward }
            if byte == UInt8(ascii: "}") { return end(byte, into: &arguments) }
            (place, token) = (.key, [byte])
        case .key: return readKey(byte, into: &arguments)
        case .value: return readValue(byte, into: &arguments)
        case .opening:
            partial.append(byte)
            if partial == quote {
                arguments.append(UInt8(ascii: "\""))
                (place, partial) = (.text, [])
            } else if !quote.starts(with: partial) {
                (place, token, partial) = (.word, Array(partial.dropLast()), [])
                return push(byte, into: &arguments)
            }
        case .text:
            partial.append(byte)
            while !partial.isEmpty, !quote.starts(with: partial) {
                arguments.append(json: partial.removeFirst())
            }
            guard partial == quote else { return .onward }
            arguments.append(UInt8(ascii: "\""))
            (place, partial) = (.after, [])
        case .string(let isEscaped):
            if byte < 0x20 { arguments.append(json: byte) } else { arguments.append(byte) }
            let isEnd = byte == UInt8(ascii: "\"") && !isEscaped
            place = isEnd ? .after : .string(isEscaped: byte == UInt8(ascii: "\\") && !isEscaped)
        case .word:
            guard ",]}".utf8.contains(byte) else {
                token.append(byte)
                return .onward
            }
            writeWord(into: &arguments)
            place = .after
            return readAfter(byte, into: &arguments)
        case .after: return readAfter(byte, into: &arguments)
        }
        return .onward
    }

    private mutating func readHeader(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        guard byte == UInt8(ascii: "{") else {
            token.append(byte)
            let fits = token.starts(with: Self.prefix) || Self.prefix.starts(with: token)
            return fits && token.count <= Self.longestName ? .held : .fault
        }
        guard token.starts(with: Self.prefix) else { return .fault }
        let name = String(decoding: token.dropFirst(Self.prefix.count), as: UTF8.self).strippedPython(nil)
        guard !name.isEmpty, !name.contains(where: \.isWhitespace) else { return .fault }
        open(isObject: true, into: &arguments)
        return .began(name: name, id: nil)
    }

    private mutating func readKey(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        let isQuoted = token.starts(with: quote)
        let isWhole = !isQuoted || token.count >= 2 * quote.count && token.ends(with: quote)
        guard byte == UInt8(ascii: ":"), isWhole else {
            token.append(byte)
            return token.count > Self.longestName ? .fault : .onward
        }
        let bytes = isQuoted ? token.dropFirst(quote.count).dropLast(quote.count) : token[...]
        let key = String(decoding: bytes, as: UTF8.self).strippedPython(nil)
        guard !key.isEmpty else { return .fault }
        writeComma(into: &arguments)
        arguments += (JSON.string(key).text + ": ").utf8
        (place, isFirst) = (.value, false)
        return .onward
    }

    private mutating func readValue(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        if byte.isSpace { return .onward }
        let isInList = containers.last == false
        if byte == UInt8(ascii: "]"), isInList, isFirst { return end(byte, into: &arguments) }
        guard !",]}:".utf8.contains(byte) else { return .fault }
        if isInList { writeComma(into: &arguments) }
        isFirst = false
        switch byte {
        case quote[0]: (place, partial, token) = (.opening, [byte], [])
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard containers.count < Self.deepest else { return .fault }
            open(isObject: byte == UInt8(ascii: "{"), into: &arguments)
        case UInt8(ascii: "\""):
            arguments.append(byte)
            place = .string(isEscaped: false)
        default: (place, token) = (.word, [byte])
        }
        if case .opening = place, quote.count == 1 {
            arguments.append(UInt8(ascii: "\""))
            (place, partial) = (.text, [])
        }
        return .onward
    }

    private mutating func readAfter(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        if byte.isSpace { return .onward }
        guard byte == UInt8(ascii: ",") else { return end(byte, into: &arguments) }
        (needsComma, isFirst) = (true, true)
        place = containers.last == true ? .member : .value
        return .onward
    }

    // MARK: Writing

    private mutating func open(isObject: Bool, into arguments: inout [UInt8]) {
        arguments.append(UInt8(ascii: isObject ? "{" : "["))
        containers.append(isObject)
        (place, needsComma, isFirst) = (isObject ? .member : .value, false, true)
    }

    /// Ends the object or list, if this byte does.
    private mutating func end(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        guard let isObject = containers.last, byte == UInt8(ascii: isObject ? "}" : "]") else {
            return .fault
        }
        containers.removeLast()
        arguments.append(byte)
        place = .after
        return containers.isEmpty ? .ended : .onward
    }

    private mutating func writeComma(into arguments: inout [UInt8]) {
        if needsComma { arguments += ", ".utf8 }
        needsComma = false
    }

    /// Writes a word as JSON; what is none of JSON's is a text.
    private func writeWord(into arguments: inout [UInt8]) {
        let word = String(decoding: token, as: UTF8.self).strippedPython(nil)
        let json = (try? JSON(parsing: word)).map { $0.double?.isFinite == false ? JSON.string(word) : $0 }
        arguments += (word == "None" ? "null" : (json ?? .string(word)).text).utf8
    }

    /// Ends a call that has no end of its own: what is open is closed, except where the answer was cut short.
    func close(_ reason: CallEnd, into arguments: inout [UInt8]) -> [UInt8] {
        var whole = self
        switch place {
        case .header: return []
        case .opening, .word:
            whole.token += partial
            if reason == .limit { arguments += whole.token } else { whole.writeWord(into: &arguments) }
        case .text:
            for byte in partial { arguments.append(json: byte) }
            if reason != .limit { arguments.append(UInt8(ascii: "\"")) }
        case .string(let isEscaped):
            if reason != .limit { arguments += (isEscaped ? "\\\"" : "\"").utf8 }
        case .value:
            // A key without its value.
            if containers.last == true, reason != .limit { arguments += "null".utf8 }
        case .member, .key, .after: break
        }
        guard reason != .limit else { return [] }
        for isObject in containers.reversed() { arguments.append(UInt8(ascii: isObject ? "}" : "]")) }
        return []
    }
}

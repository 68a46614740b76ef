import SCXInference

/// Reads a call as Python has it, `name(argument=value, …)`, and writes its arguments as a JSON object.
struct PythonCallReader: Sendable {
    private enum Quote {
        case none
        /// A quote that may be the first of three, or the first and last of an empty string.
        case opened(UInt8, count: Int)
        case inside(UInt8, isLong: Bool, closing: Int)
        case escape(UInt8, isLong: Bool)
    }

    private static let longestName = 256
    private static let deepest = 64

    private let parameters: ToolParameters
    private var function = ""
    private var name: [UInt8] = []
    private var hasBegun = false
    /// Bytes of the argument so far.
    private var argument: [UInt8] = []
    private var quote = Quote.none
    /// Brackets that are open inside the argument.
    private var brackets: [UInt8] = []
    private var count = 0
    private var places = 0

    init(_ parameters: ToolParameters) { self.parameters = parameters }

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        guard hasBegun else { return readName(byte) }
        if track(byte) {
            argument.append(byte)
            return .onward
        }
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: ")"):
            guard take(into: &arguments, isLast: byte == UInt8(ascii: ")")) else { return .fault }
            argument = []
            guard byte == UInt8(ascii: ")") else { return .onward }
            arguments += (count == 0 ? "{}" : "}").utf8
            return .ended
        case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"):
            guard brackets.count < Self.deepest else { return .fault }
            brackets.append(byte)
        case UInt8(ascii: "]"), UInt8(ascii: "}"): return .fault
        default: break
        }
        argument.append(byte)
        return .onward
    }

    private mutating func readName(_ byte: UInt8) -> CallOutcome {
        if byte == UInt8(ascii: "(") {
            function = String(decoding: name, as: UTF8.self).strippedPython(nil)
            guard !function.isEmpty else { return .fault }
            hasBegun = true
            return .began(name: function, id: nil)
        }
        let scalar = Unicode.Scalar(byte)
        let fits =
            byte >= 0x80 || scalar == "_" || scalar == "." || scalar == "-" || scalar.properties.isAlphabetic
            || scalar.isASCIIDigit
        guard fits, name.count < Self.longestName else { return .fault }
        name.append(byte)
        return .held
    }

    /// Whether the byte is inside a string or brackets.
    private mutating func track(_ byte: UInt8) -> Bool {
        switch quote {
        case .inside(let mark, let isLong, let closing):
            if byte == UInt8(ascii: "\\") {
                quote = .escape(mark, isLong: isLong)
            } else if byte == mark {
                quote = !isLong || closing == 2 ? .none : .inside(mark, isLong: true, closing: closing + 1)
            } else {
                quote = .inside(mark, isLong: isLong, closing: 0)
            }
            return true
        case .escape(let mark, let isLong):
            quote = .inside(mark, isLong: isLong, closing: 0)
            return true
        case .opened(let mark, let count):
            if byte == mark {
                quote = count == 1 ? .opened(mark, count: 2) : .inside(mark, isLong: true, closing: 0)
                return true
            }
            if count == 1 {
                quote = .inside(mark, isLong: false, closing: 0)
                return track(byte)
            }
            // Two quotes were an empty string.
            quote = .none
        case .none: break
        }
        if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
            quote = .opened(byte, count: 1)
            return true
        }
        guard let open = brackets.last else { return false }
        switch byte {
        case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"):
            guard brackets.count < Self.deepest else { return true }
            brackets.append(byte)
        case UInt8(ascii: ")") where open == UInt8(ascii: "("),
            UInt8(ascii: "]") where open == UInt8(ascii: "["),
            UInt8(ascii: "}") where open == UInt8(ascii: "{"):
            brackets.removeLast()
        default: break
        }
        return true
    }

    /// Writes the argument that is complete; false for what is none.
    private mutating func take(into arguments: inout [UInt8], isLast: Bool) -> Bool {
        let text = String(decoding: argument, as: UTF8.self)
        if text.allSatisfy(\.isWhitespace) { return isLast }
        var value = text[...]
        var key: String?
        if let sign = text.firstIndex(of: "=") {
            let name = String(text[..<sign]).strippedPython(nil)
            if !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }) {
                key = name
                value = text[text.index(after: sign)...]
            }
        }
        guard let key = key ?? parameters.name(at: places, in: function) else { return false }
        let trimmed = String(value).strippedPython(nil)
        let json = PythonLiteral.json(of: trimmed) ?? JSON.string(trimmed).text
        arguments += ((count == 0 ? "{" : ", ") + JSON.string(key).text + ": " + json).utf8
        count += 1
        places += 1
        return true
    }

    func close(_ reason: CallEnd, into arguments: inout [UInt8]) -> [UInt8] {
        guard hasBegun else { return [] }
        var whole = self
        if reason == .answer, whole.take(into: &arguments, isLast: true) {
            arguments += (whole.count == 0 ? "{}" : "}").utf8
            return []
        }
        guard reason == .limit else {
            arguments += (count == 0 ? "{}" : "}").utf8
            return argument
        }
        // An argument that was cut short stays as it is, after its name.
        let text = String(decoding: argument, as: UTF8.self).strippedPython(nil)
        arguments += (count == 0 ? "{" : text.isEmpty ? "" : ", ").utf8
        if let sign = text.firstIndex(of: "=") {
            arguments +=
                (JSON.string(String(text[..<sign])).text + ": " + text[text.index(after: sign)...]).utf8
        } else {
            arguments += text.utf8
        }
        return []
    }
}

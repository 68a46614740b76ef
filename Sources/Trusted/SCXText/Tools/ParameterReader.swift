import SCXInference

/// Reads a call whose arguments stand between marks, and writes them as a JSON object.
///
/// Strings pass while they arrive; what may be a number, a list or an object is read to its end first, and becomes JSON
/// by the function's schema.
struct ParameterReader: Sendable {
    private enum Place {
        /// In the function's name.
        case name
        /// Before a key or the end.
        case between
        case key
        /// Between a key and the mark that opens its value.
        case opening
        /// In a value that is a string for certain.
        case string
        case value
    }

    private static let longestName = 512

    private let marks: ToolCallSyntax.ParameterMarks
    private let parameters: ToolParameters
    private let keyOpen: [UInt8]
    private let keyClose: [UInt8]
    private let valueOpen: [UInt8]
    private let close: [UInt8]
    /// Texts that end a value, the longest first.
    private let ends: [[UInt8]]
    /// Begins a value between quotes, and what ends that one.
    private let quoteOpen: [UInt8]
    private let quotedEnds: [[UInt8]]
    private var isQuoted = false
    private var place = Place.name
    private var function = ""
    private var key = ""
    private var kinds: Set<ToolParameters.Kind> = []
    /// Bytes of the name, the key or the value so far.
    private var token: [UInt8] = []
    /// Bytes since the last argument that was complete.
    private var unread: [UInt8] = []
    /// White space and bytes of a mark that is not complete.
    private var partial: [UInt8] = []
    private var count = 0
    /// At the first byte of a value.
    private var isFirst = false
    /// A byte of the value was told.
    private var hasTaken = false

    init(_ marks: ToolCallSyntax.ParameterMarks, _ parameters: ToolParameters) {
        (self.marks, self.parameters) = (marks, parameters)
        keyOpen = Array(marks.keyOpen.utf8)
        keyClose = Array(marks.keyClose.utf8)
        valueOpen = Array(marks.valueOpen.utf8)
        close = Array(marks.close.utf8)
        let end = Array(marks.valueClose.utf8)
        ends = marks.isOnLines ? [[0x0A] + end, end] : [end]
        quoteOpen = Array((marks.quotes?.open ?? "").utf8)
        quotedEnds = marks.quotes.map { [Array($0.close.utf8) + end] } ?? []
    }

    mutating func push(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        switch place {
        case .name: return readName(byte, into: &arguments)
        case .between: return readMark(byte, into: &arguments)
        case .key:
            token.append(byte)
            let isWhole = token.ends(with: keyClose)
            guard isWhole ? readKey() : token.count <= Self.longestName else { return .fault }
            unread.append(byte)
            if isWhole, valueOpen.isEmpty { beginValue(into: &arguments) }
            return .onward
        case .opening:
            partial.append(byte)
            unread.append(byte)
            let begun = partial.drop(while: \.isSpace)
            guard valueOpen.starts(with: begun) else {
                unread.removeLast()
                return .fault
            }
            if begun.count == valueOpen.count { beginValue(into: &arguments) }
            return .onward
        case .string, .value:
            unread.append(byte)
            readValue(byte, into: &arguments)
            return .onward
        }
    }

    // MARK: Names and marks

    private mutating func readName(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        token.append(byte)
        if !marks.nameClose.isEmpty {
            guard token.ends(with: Array(marks.nameClose.utf8)) else {
                let isOther = byte.isSpace && marks.attributes != .type
                return token.count > Self.longestName || isOther ? .fault : .held
            }
            let name = String(decoding: token.dropLast(marks.nameClose.utf8.count), as: UTF8.self)
            // NAME" index="1"
            return begin(
                marks.attributes == .type ? String(name.prefix { $0 != "\"" }).unescapedAttribute : name)
        }
        // A name without an end of its own ends with the line, or where the first mark is complete.
        if byte == 0x0A {
            let name = String(decoding: token, as: UTF8.self).strippedPython(nil)
            return name.isEmpty ? .held : name.contains(where: \.isWhitespace) ? .fault : begin(name)
        }
        for mark in [keyOpen, close] where token.ends(with: mark) {
            let name = String(decoding: token.dropLast(mark.count), as: UTF8.self).strippedPython(nil)
            guard !name.isEmpty, !name.contains(where: \.isWhitespace) else { return .fault }
            if mark == keyOpen {
                let outcome = begin(name)
                place = .key
                return outcome
            }
            arguments += "{}".utf8
            return .whole(name: name, id: nil)
        }
        return token.count > Self.longestName ? .fault : .held
    }

    private mutating func begin(_ name: String) -> CallOutcome {
        guard !name.isEmpty else { return .fault }
        function = name
        (place, token) = (.between, [])
        return .began(name: name, id: nil)
    }

    private mutating func readMark(_ byte: UInt8, into arguments: inout [UInt8]) -> CallOutcome {
        if partial.isEmpty, byte.isSpace {
            unread.append(byte)
            return .onward
        }
        partial.append(byte)
        unread.append(byte)
        if partial == keyOpen {
            (place, token, partial) = (.key, [], [])
        } else if partial == close {
            arguments += (count == 0 ? "{}" : "}").utf8
            return .ended
        } else if !keyOpen.starts(with: partial), !close.starts(with: partial) {
            unread.removeLast()
            return .fault
        }
        return .onward
    }

    /// Reads the key that is complete; false for what is none.
    private mutating func readKey() -> Bool {
        key = String(decoding: token.dropLast(keyClose.count), as: UTF8.self)
        var isString: Bool?
        if marks.attributes == .none {
            key = key.strippedPython(nil)
        } else {
            // KEY" string="true", or KEY" type="string"
            let isType = marks.attributes == .type
            let parts = key.split(separator: "\"", omittingEmptySubsequences: false)
            key = String(parts.first ?? "")
            if isType { key = key.unescapedAttribute }
            let attribute = isType ? " type=" : " string="
            guard parts.count == 1 || parts.count == 2 || (parts.count == 4 && parts[1] == attribute) else {
                return false
            }
            if parts.count == 4 { isString = parts[2] == (isType ? "string" : "true") }
        }
        guard !key.isEmpty else { return false }
        kinds = parameters.kinds(of: key, in: function)
        if let isString { kinds = isString ? [.string] : kinds.subtracting([.string]) }
        (place, partial) = (.opening, [])
        return true
    }

    // MARK: Values

    private mutating func beginValue(into arguments: inout [UInt8]) {
        arguments += (count == 0 ? "{" : ", ").utf8
        arguments += (JSON.string(key).text + ": ").utf8
        count += 1
        (token, partial, isFirst, isQuoted, hasTaken) = ([], [], true, false, false)
        place = kinds == [.string] ? .string : .value
        if place == .string { arguments.append(UInt8(ascii: "\"")) }
    }

    private mutating func readValue(_ byte: UInt8, into arguments: inout [UInt8]) {
        if isFirst {
            isFirst = false
            if marks.isOnLines, byte == 0x0A { return }
        }
        partial.append(byte)
        if isAtQuotes {
            guard partial == quoteOpen else { return }
            (partial, isQuoted) = ([], true)
            return
        }
        let ends = isQuoted ? quotedEnds : ends
        while !partial.isEmpty, !ends.contains(where: { $0.starts(with: partial) }) {
            take(partial.removeFirst(), into: &arguments)
            hasTaken = true
        }
        guard ends.contains(partial) else { return }
        if place == .string {
            arguments.append(UInt8(ascii: "\""))
        } else {
            let text = String(decoding: token, as: UTF8.self)
            arguments += ToolParameters.json(of: text, kinds: kinds).utf8
        }
        (place, partial, unread) = (.between, [], [])
    }

    /// Whether all of the value so far is the beginning of what stands before a quoted one.
    private var isAtQuotes: Bool {
        !quoteOpen.isEmpty && !isQuoted && !hasTaken && quoteOpen.starts(with: partial)
    }

    private mutating func take(_ byte: UInt8, into arguments: inout [UInt8]) {
        if place == .string { arguments.append(json: byte) } else { token.append(byte) }
    }

    func close(_ reason: CallEnd, into arguments: inout [UInt8]) -> [UInt8] {
        switch place {
        case .name: return []
        case .between, .key, .opening:
            arguments += (count == 0 ? "{}" : "}").utf8
            return reason != .fault && place == .between ? [] : unread
        // A value takes any byte, so that only an answer's end comes here.
        case .string:
            for byte in partial { arguments.append(json: byte) }
            if reason != .limit { arguments += "\"}".utf8 }
        case .value:
            let text = token + partial
            if reason == .limit {
                arguments += text
            } else {
                let json = ToolParameters.json(of: String(decoding: text, as: UTF8.self), kinds: kinds)
                arguments += (json + "}").utf8
            }
        }
        return []
    }
}

extension UInt8 {
    /// White space as JSON has it.
    var isSpace: Bool { self == 0x20 || self == 0x09 || self == 0x0A || self == 0x0D }
}

extension [UInt8] {
    func ends(with suffix: [UInt8]) -> Bool { !suffix.isEmpty && self.suffix(suffix.count) == suffix[...] }
}
